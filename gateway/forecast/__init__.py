"""Simulations of work on a fleet, and policies compared by them."""
