"""The interface of a member: its verbs, batches and limits."""
