"""How long the long tests take: a minute's form by default, the whole with ``make soak``."""

from __future__ import annotations

import os
from typing import TypeVar

_Size = TypeVar("_Size", int, float)


def sized(short: _Size, long: _Size) -> _Size:
    """*long* in ``make soak``, else *short*."""
    return long if os.environ.get("SHIPWAY_SOAK") == "long" else short
