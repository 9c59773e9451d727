"""Divide work among members."""
