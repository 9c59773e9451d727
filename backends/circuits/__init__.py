"""The contents of circuits, and estimates of their quality and time."""
