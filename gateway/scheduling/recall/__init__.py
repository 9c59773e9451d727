"""Second thoughts about work in flight: what is taken back, moved, or sent a second time."""
