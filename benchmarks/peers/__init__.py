"""Servers that others would write by hand, to measure ours against."""
