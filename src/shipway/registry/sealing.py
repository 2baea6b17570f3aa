"""How the files of a version go into the store encrypted, and come out again.

A version is the same whether it is encrypted or not: its digest is of what its files are. That it
is encrypted is told by its seals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from shipway.domain.digests import digest_of
from shipway.domain.progress import SILENT, Progress
from shipway.errors import ConflictError, IntegrityError, UsageError
from shipway.registry.ports import BlobStore, MetadataStore
from shipway.registry.records import Seal, Version
from shipway.security.sealing import Keyring, Opener, Place, Sealer


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """Of the keys of versions' files, how many were wrapped anew, and how many need it not."""

    rewrapped: int
    unchanged: int
    recipients: tuple[str, ...]


class Encrypted(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a store is encrypted, and for whom: files by recipient."""

    sealed_versions: int
    plain_versions: tuple[str, ...]
    recipients: tuple[str, ...]
    files_for: dict[str, int]


class Sealing:
    """Seals what is published into *store* and *blobs*, for the recipients of *keyring*."""

    def __init__(self, store: MetadataStore, blobs: BlobStore, keyring: Keyring) -> None:
        self._store, self._blobs, self._keyring = store, blobs, keyring

    @property
    def recipients(self) -> tuple[str, ...]:
        """For whom it is sealed; none where it is not."""
        return self._keyring.recipients

    def check_recipients(self) -> None:
        """Raise :class:`~shipway.errors.UsageError` where nobody is named for whom."""
        if not self.recipients:
            raise UsageError(
                "nobody is named for whom things are to be encrypted",
                next_step="set encryption.recipients: `shipway encryption keygen FILE` makes a key",
            )

    def is_sealed(self, version: Version) -> bool:
        """Whether *version* is encrypted."""
        return bool(self._store.seals.list(version.model, version.number))

    def prepare(
        self,
        model: str,
        version: str,
        files: Mapping[str, bytes],
        earlier: Sequence[Seal] = (),
    ) -> tuple[tuple[Seal, ...], list[bytes]]:
        """The seals of *files* of a *version* (its digest), and the bytes to keep for them.

        Files that are sealed already, and whole, stay as they are, as do those of an *earlier*
        attempt; a version that is encrypted stays so. Raises
        :class:`~shipway.errors.ConflictError` where one would have to be sealed again and nobody
        is named for whom.
        """
        found = self._store.seals.find(model, version)
        known = {seal.path: seal for seal in (*earlier, *found) if self._is_whole(seal)}
        sealer = self._keyring.sealer()
        if sealer is None and not found:
            return (), list(files.values())
        seals, contents = [], []
        for path, content in files.items():
            seal = known.get(path)
            if seal is None:
                if sealer is None:
                    raise ConflictError(
                        f"{model}: this version is encrypted, and of {path} nothing is left",
                        next_step="name for whom it is to be encrypted again:"
                        " encryption.recipients, then publish it again",
                    )
                seal, sealed = sealed_as(
                    sealer, content, Place(model=model, version=version, path=path)
                )
                contents.append(sealed)
            seals.append(seal)
        return tuple(sorted(seals, key=lambda one: one.path)), contents

    def rotate(
        self, now: datetime, *, dry_run: bool = False, progress: Progress = SILENT
    ) -> Rotated:
        """Wrap every file key for the recipients of now, and for nobody else; no file is written.

        Stopped at any point, every version can be opened by its old recipients or by the new
        ones; another rotation goes on. Raises :class:`~shipway.errors.KeyNotHeld` when a version
        cannot be opened here, with those before it done.
        """
        self.check_recipients()
        sealer = Sealer(self.recipients)
        opener = self._keyring.opener()
        named = [
            (model, one)
            for model in self._store.versions.models()
            for one in self._store.versions.summaries(model)
        ]
        rewrapped = unchanged = 0
        with progress.start("Wrapping keys", len(named), "versions") as task:
            for model, summary in named:
                seals = self._store.seals.list(model, summary.number)
                old = [one for one in seals if set(one.recipients) != set(sealer.recipients)]
                unchanged += len(seals) - len(old)
                fresh = [
                    _rewrapped(
                        one,
                        Place(model=model, version=summary.digest, path=one.path),
                        sealer,
                        opener,
                    )
                    for one in old
                ]
                if dry_run or not fresh:
                    rewrapped += len(fresh)
                else:
                    rewrapped += self._store.seals.rewrap(model, summary.number, fresh, now)
                task.advance()
        return Rotated(rewrapped=rewrapped, unchanged=unchanged, recipients=sealer.recipients)

    def encrypted(self) -> Encrypted:
        """How much is encrypted, and for whom."""
        sealed, plain, files_for = 0, [], dict[str, int]()
        for model in self._store.versions.models():
            for summary in self._store.versions.summaries(model):
                seals = self._store.seals.list(model, summary.number)
                if not seals:
                    plain.append(f"{model}@{summary.number}")
                sealed += bool(seals)
                for seal in seals:
                    for one in seal.recipients:
                        files_for[one] = files_for.get(one, 0) + 1
        return Encrypted(
            sealed_versions=sealed,
            plain_versions=tuple(plain),
            recipients=self.recipients,
            files_for=dict(sorted(files_for.items())),
        )

    def _is_whole(self, seal: Seal) -> bool:
        if not self._blobs.has(seal.digest):
            return False
        try:
            with self._blobs.open(seal.digest) as blob:
                return digest_of(blob.read()) == seal.digest
        except IntegrityError:
            return False


def sealed_as(sealer: Sealer, content: bytes, place: Place) -> tuple[Seal, bytes]:
    """How *content* is sealed for *place*, and the bytes to keep."""
    sealed = sealer.seal(content, place)
    seal = Seal(
        path=place.path,
        digest=sealed.digest,
        size_bytes=len(sealed.content),
        key=sealed.key,
        recipients=sealer.recipients,
    )
    return seal, sealed.content


def _rewrapped(seal: Seal, place: Place, sealer: Sealer, opener: Opener) -> Seal:
    key = sealer.rewrap(seal.key, place, opener)
    return msgspec.structs.replace(seal, key=key, recipients=sealer.recipients)
