"""A guard as it can be taken away: a text in a file of the product, and another in its place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """What is guarded against, the file below ``shipway``, the text there, and without it."""

    name: str
    file: str
    text: str
    without: str
