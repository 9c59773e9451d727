"""The record of a run: its plan, attempts, events and status, and what is left of it."""
