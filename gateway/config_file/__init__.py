"""One TOML file read: its tables, what they make, and its problems."""
