"""What is known of particular providers."""
