"""Why something has no figure."""

from __future__ import annotations


class Unmeasured(Exception):
    """A peer is absent, does not start or fails to answer: the row's reason, in one line."""

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))
