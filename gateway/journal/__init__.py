"""Durable runs, and how they are resumed."""
