"""The paths that a platform chooses, which are told before anything of a server is imported."""

from __future__ import annotations

import msgspec


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """Where the platform asks for predictions, and where for health; "" for none of its own."""

    predict: str = ""
    health: str = ""
