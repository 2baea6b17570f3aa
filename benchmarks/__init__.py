"""Figures of what Shipway costs: ``python -m benchmarks``. Nothing here asserts on time."""
