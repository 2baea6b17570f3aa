"""The promise about data: inferred once, kept in one file, enforced the same everywhere."""
