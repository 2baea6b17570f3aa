"""The signatures of versions as they were last read, beside the copies of the versions' files.

With them a version is believed, or not, while the store is away and in processes that do not
reach it. Nothing here needs to be trusted: a signature proves itself, and one that is gone makes
a version an unsigned one, which the policy judges as such.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path

import msgspec

from shipway.durable import private_folder, replace_file, storing
from shipway.registry.oci import hex_of
from shipway.registry.records import Version
from shipway.security.trust import Signature

_SUFFIX = ".signatures"
_DECODER = msgspec.json.Decoder(tuple[Signature, ...])


class KeptSignatures:
    """The files ``<hex of a version's digest>.signatures`` in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, version: Version) -> tuple[Signature, ...]:
        """Those of *version*; none where none were kept, or where they cannot be read."""
        with suppress(OSError, msgspec.DecodeError):
            return _DECODER.decode(self._path(version).read_bytes())
        return ()

    def keep(self, version: Version, signatures: Sequence[Signature]) -> None:
        """Keep *signatures* of *version*, in the place of those that were kept.

        Raises :class:`~shipway.errors.StoreError` when that cannot be.
        """
        if self.read(version) == tuple(signatures):
            return
        with storing(self._folder):
            private_folder(self._folder)
            replace_file(self._path(version), msgspec.json.encode(signatures))

    def _path(self, version: Version) -> Path:
        return self._folder / f"{hex_of(version.digest)}{_SUFFIX}"


def drop_others(folder: Path, kept: Set[str]) -> None:
    """Remove from *folder* what belongs to versions other than *kept* (digests in hex)."""
    for path in folder.glob(f"*{_SUFFIX}"):
        if path.stem not in kept:
            path.unlink(missing_ok=True)
