"""Others that check tables, each in an environment of its own."""
