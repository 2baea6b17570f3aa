"""Shipway's server and others side by side in one run, each alone on one core.

Shipway runs as users run it: keys, contract, events and metrics are on. The peers have none of
these, the same model, and the best configuration that we found for one worker.
"""
