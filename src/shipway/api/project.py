"""Opening a project, the first call of every notebook and every command."""

from __future__ import annotations

from shipway.bootstrap.project import Project, open_project, store_addresses
from shipway.registry.addresses import Addresses

__all__ = ["Addresses", "Project", "open_project", "store_addresses"]
