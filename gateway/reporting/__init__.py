"""Reports, progress and tables for people."""
