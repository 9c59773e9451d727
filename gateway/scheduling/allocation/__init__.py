"""How work is divided among members."""
