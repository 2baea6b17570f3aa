"""Ways out of this machine: container images, edge bundles, pipelines."""
