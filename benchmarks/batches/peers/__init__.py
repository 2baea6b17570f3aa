"""Others that score tables, each in an environment of its own."""
