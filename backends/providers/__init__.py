"""Profiles of particular providers, one module each."""
