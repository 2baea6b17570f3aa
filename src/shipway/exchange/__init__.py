"""Versions on their way to and from other products: OCI registries, MLflow."""
