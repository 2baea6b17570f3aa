"""Opening a project, the first call of every notebook and every command."""

from __future__ import annotations

from shipway.bootstrap.project import Project, open_project

__all__ = ["Project", "open_project"]
