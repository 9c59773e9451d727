"""Probe circuits that show how a backend orders its bits."""
