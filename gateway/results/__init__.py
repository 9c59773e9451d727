"""From outcomes to arrays and expectation values."""
