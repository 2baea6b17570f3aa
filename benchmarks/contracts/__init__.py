"""Checking a table against its contract, beside polars by hand and pandera."""
