"""Results, checked and decoded."""
