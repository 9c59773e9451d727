"""Before anything is spent: quotes and simulations."""
