"""What a store elsewhere said last, kept in the store's folder for when it is away.

Together with the cache of versions it is all that a server needs to go on, and to start. It is
as private as the store itself, and holds no secret: of keys only their digests. A key that was
revoked after it was written is believed until the store answers again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shipway.durable import replace_file
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.records import EndpointState, Version
from shipway.security.keys import KeyRecord

FILE = "known.json"
_log = logging.getLogger(__name__)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints of the store at ``addresses``, the versions live on them, and all keys."""

    addresses: Addresses
    endpoints: tuple[EndpointState, ...]
    versions: tuple[Version, ...]
    keys: tuple[KeyRecord, ...]

    def endpoint(self, name: str) -> EndpointState | None:
        """What the endpoint *name* routed to, if there was one."""
        return next((state for state in self.endpoints if state.endpoint == name), None)


@dataclass(frozen=True, slots=True)
class Memory:
    """The file in the folder *home* of the store that has parts at *addresses*."""

    home: Path
    addresses: Addresses

    def read(self) -> Known | None:
        """What is known; None without a file, and for one that is torn or of another store."""
        with suppress(OSError, msgspec.DecodeError):
            known = msgspec.json.decode((self.home / FILE).read_bytes(), type=Known)
            if known.addresses == self.addresses.told:
                return known
        return None

    def keep(
        self,
        endpoints: Sequence[EndpointState],
        versions: Sequence[Version],
        keys: Sequence[KeyRecord],
    ) -> None:
        """Keep what the store says now. Where that cannot be written, serving goes on."""
        known = Known(
            addresses=self.addresses.told,
            endpoints=tuple(endpoints),
            versions=tuple(versions),
            keys=tuple(keys),
        )
        content, path = msgspec.json.encode(known), self.home / FILE
        try:
            if not path.is_file() or path.read_bytes() != content:
                replace_file(path, content)
        except OSError as error:
            _log.warning("what the store says cannot be kept in %s: %s", path, error.strerror)


def memory_of(home: Path, addresses: Addresses) -> Memory | None:
    """The memory of a store that may be away; None for one that is in its folder."""
    return None if addresses == IN_FOLDER else Memory(home.absolute(), addresses)
