"""Shipway's registry beside MLflow's, both as long-lived programs that take turns."""
