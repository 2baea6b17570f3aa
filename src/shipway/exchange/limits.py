"""How much of an artefact from elsewhere is taken in, so that none fills memory or disk."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from shipway.errors import TooLarge

_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "bytes": "bytes",
        "expanded_bytes": "bytes when it is unpacked",
        "file_bytes": "bytes",
        "files": "files",
    }
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one artefact may have at most: each is the setting ``store.pull_limit_<name>``.

    ``bytes`` counts what comes, ``expanded_bytes`` what its archives become, ``file_bytes`` one
    file and ``files`` how many there are.
    """

    bytes: int = 4 << 30
    expanded_bytes: int = 8 << 30
    file_bytes: int = 2 << 30
    files: int = 1_000

    def hold(self, name: str, found: int, what: str) -> None:
        """Raise :class:`~shipway.errors.TooLarge` if *found* of *what* is over the limit *name*."""
        most: int = getattr(self, name)
        if found > most:
            raise TooLarge(
                f"{what} has {found:,} {_UNITS[name]}, and {most:,} are the most that is taken",
                next_step=f"set store.pull_limit_{name} higher if it is to be that large",
            )
