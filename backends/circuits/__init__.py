"""What circuits hold, and what to expect of them."""
