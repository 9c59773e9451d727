"""Circuits made fit for a target, once."""
