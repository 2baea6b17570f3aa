"""Scoring a table offline, beside the bare runtime, a loop by hand, and MLflow."""
