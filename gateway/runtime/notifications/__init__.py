"""The events of a run, told to its observers and the log."""
