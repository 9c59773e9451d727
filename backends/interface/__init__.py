"""What a member is: its verbs, batches and limits."""
