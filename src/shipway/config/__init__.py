"""The settings of a project: ``shipway.toml``, variables and flags, each with its origin."""
