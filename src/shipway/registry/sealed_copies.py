"""The files of encrypted versions as they are stored, beside the copies of the plain ones.

With them, and its keys, a worker serves on and starts again while the store is away. They are as
secret as what is in the store: nothing here can be read without a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from shipway.domain.digests import digest_of
from shipway.durable import private_folder, replace_file, storing
from shipway.registry.oci import hex_of
from shipway.registry.ports import BlobStore
from shipway.registry.records import Seal, Version

SUFFIX = ".sealed"
_SEALS = "seals.json"
_DECODER = msgspec.json.Decoder(tuple[Seal, ...])


class SealedCopies:
    """The folders ``<hex of a version's digest>.sealed`` in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def seals(self, version: Version) -> tuple[Seal, ...]:
        """Those of *version* as they were last kept; none where none were."""
        with suppress(OSError, msgspec.DecodeError):
            return _DECODER.decode((self._of(version) / _SEALS).read_bytes())
        return ()

    def content(self, version: Version, seal: Seal) -> bytes | None:
        """The sealed bytes of one file, None where they are not here as they should be."""
        with suppress(OSError):
            content = (self._of(version) / hex_of(seal.digest)).read_bytes()
            if digest_of(content) == seal.digest:
                return content
        return None

    def keep(self, version: Version, seals: Sequence[Seal], blobs: BlobStore) -> None:
        """Keep *seals*, and what they are of from *blobs*, in the place of what was kept.

        Raises :class:`~shipway.errors.StoreError` when that cannot be, and IntegrityError for a
        blob that is not there.
        """
        if self.seals(version) == tuple(seals):
            return
        folder = self._of(version)
        with storing(folder):
            private_folder(folder)
        for seal in seals:
            if self.content(version, seal) is None:
                with blobs.open(seal.digest) as blob:
                    content = blob.read()
                with storing(folder):
                    replace_file(folder / hex_of(seal.digest), content)
        with storing(folder):
            replace_file(folder / _SEALS, msgspec.json.encode(seals))
            wanted = {_SEALS, *(hex_of(seal.digest) for seal in seals)}
            for path in folder.iterdir():
                if path.name not in wanted and not path.name.startswith("."):
                    path.unlink(missing_ok=True)

    def _of(self, version: Version) -> Path:
        return self._folder / f"{hex_of(version.digest)}{SUFFIX}"
