"""The async shell: it performs what the scheduler says."""
