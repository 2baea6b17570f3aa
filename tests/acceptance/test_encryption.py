"""A project whose versions are encrypted, through the command line and a real server."""

from __future__ import annotations
