"""Runs tried out before anything is sent: the same shell and scheduler, on a virtual clock."""
