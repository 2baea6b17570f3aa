"""Decisions about versions: which may be promoted, and when to go back."""
