"""The database beneath a journal: a SQLite file or a PostgreSQL server, and what is written into it."""
