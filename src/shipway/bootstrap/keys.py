"""The keys that a server believes: its registry's, and those of a mounted file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from shipway.bootstrap.memory import Memory
from shipway.errors import ConfigError, StoreUnavailable
from shipway.registry.registry import Registry
from shipway.security.keys import KeyRecord

_ASK_AGAIN_S = 2.0


def with_mounted(known: Sequence[KeyRecord], mounted: Sequence[KeyRecord]) -> tuple[KeyRecord, ...]:
    """The keys *known* to a registry and those *mounted*; of one in both only the first counts.

    The registry alone says that a key was revoked.
    """
    ids = {record.id for record in known}
    return (*known, *(record for record in mounted if record.id not in ids))


class KeysAtHand:
    """The keys of a registry and those mounted; asked for, as of now.

    While a store elsewhere is away its keys are those that it last had, and it is asked again
    after a while: nobody waits for a connection with each request.
    """

    def __init__(
        self,
        registry: Registry,
        mounted: Sequence[KeyRecord],
        memory: Memory | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._mounted = mounted
        self._memory = memory
        self._clock = clock
        self._ask_at = clock()

    def __call__(self) -> tuple[KeyRecord, ...]:
        """All of them, revoked and expired ones too."""
        known = None
        if self._memory is not None and self._clock() < self._ask_at:
            known = self._memory.read()
        return with_mounted(self._asked() if known is None else known.keys, self._mounted)

    def _asked(self) -> Sequence[KeyRecord]:
        try:
            return self._registry.keys()
        except StoreUnavailable:
            known = None if self._memory is None else self._memory.read()
            if known is None:
                raise
            self._ask_at = self._clock() + _ASK_AGAIN_S
            return known.keys


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
