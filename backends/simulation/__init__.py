"""Members that only take time."""
