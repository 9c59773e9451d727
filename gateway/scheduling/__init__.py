"""Pure decisions: events in, instructions out."""
