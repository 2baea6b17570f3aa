"""The keys that a server believes: its registry's, and those of a mounted file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from shipway.errors import ConfigError
from shipway.registry.registry import Registry
from shipway.security.keys import KeyRecord


def all_keys(registry: Registry, mounted: Sequence[KeyRecord]) -> tuple[KeyRecord, ...]:
    """The keys of *registry* and those *mounted*; of one in both only the registry's counts.

    It alone says that a key was revoked.
    """
    known = registry.keys()
    ids = {record.id for record in known}
    return (*known, *(record for record in mounted if record.id not in ids))


def read_keys_file(path: Path | None) -> Sequence[KeyRecord]:
    """The key records (digests, never secrets) of a mounted file, for servers without a store.

    Raises :class:`~shipway.errors.ConfigError` for a file that is missing or malformed.
    """
    if path is None:
        return ()
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[KeyRecord])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"the keys file {path} cannot be read: {error}",
            next_step="write it with `shipway keys create --export FILE` and mount it read-only",
        ) from error
