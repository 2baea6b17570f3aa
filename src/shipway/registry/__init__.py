"""Versions, their bytes, their evidence, and what each endpoint routes to."""
