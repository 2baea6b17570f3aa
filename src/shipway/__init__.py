"""Shipway takes a trained model to production and keeps it healthy."""

from __future__ import annotations

__version__ = "0.1.0"
