"""Failures as facts: errors, the translation of foreign exceptions, secrets kept out of texts."""
