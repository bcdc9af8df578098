"""How what users name is found."""
