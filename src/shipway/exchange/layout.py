"""Artefacts in a folder that is an OCI image layout, for ``skopeo``, ``oras`` and the like."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shipway.domain.digests import digest_of
from shipway.durable import replace_file, storing
from shipway.errors import DigestMismatch, ModelFileError, NotFoundError, TooLarge
from shipway.exchange.beneath import Folder
from shipway.exchange.repository import MOST_MANIFEST_BYTES, About
from shipway.registry.oci import LAYOUT, Descriptor, Index, hex_of, image_descriptor, index_bytes

_REF_NAME = "org.opencontainers.image.ref.name"
_ROOT = "oci-layout"
_INDEX = "index.json"


class LayoutFolder:
    """A :class:`~shipway.exchange.repository.Repository` in the folder *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self) -> None:
        """Make the folder a layout, if it is none yet."""
        with storing(self._folder):
            (self._folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            if not (self._folder / _ROOT).exists():
                replace_file(self._folder / _ROOT, LAYOUT)
                replace_file(self._folder / _INDEX, index_bytes(()))

    def put_blob(self, content: bytes) -> bool:
        """See the port."""
        path = self._folder / "blobs" / "sha256" / hex_of(digest_of(content))
        with storing(path):
            if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
                return False
            replace_file(path, content)
        return True

    def blob(self, descriptor: Descriptor) -> bytes:
        """See the port."""
        try:
            content = self._read(descriptor.digest, descriptor.size)
        except ModelFileError as error:
            raise NotFoundError(
                f"{self._folder} has no blob {descriptor.digest} of {descriptor.size:,} bytes:"
                f" {error.message}",
                next_step="copy or export it again",
            ) from error
        if (digest_of(content), len(content)) != (descriptor.digest, descriptor.size):
            raise _differs(descriptor.digest, self._folder)
        return content

    def put_manifest(self, content: bytes, *, tag: str = "") -> None:
        """See the port."""
        self.put_blob(content)
        about = msgspec.json.decode(content, type=About)
        one = msgspec.structs.replace(
            image_descriptor(content),
            artifact_type=about.artifact_type,
            annotations={_REF_NAME: tag} if tag else {},
        )
        others = [
            msgspec.structs.replace(known, annotations={}) if tag and _tag(known) == tag else known
            for known in self._index()
            if (known.digest, _tag(known)) != (one.digest, tag)
        ]
        with storing(self._folder / _INDEX):
            replace_file(self._folder / _INDEX, index_bytes((*others, one)))

    def manifest(self, key: str) -> bytes:
        """See the port. "" is the only manifest that has no subject."""
        for known in self._index():
            tagged = _tag(known) == key
            if known.digest == key or (key and tagged) or (not key and self._is_whole(known)):
                return self._manifest(known)
        raise NotFoundError(
            f"{self._folder} holds no artefact {key!r}",
            next_step=f"look what {self._folder / _INDEX} lists",
        )

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """See the port."""
        found = []
        for known in self._index():
            about = self._about(known)
            if about.subject is not None and about.subject.digest == digest:
                found.append(known)
        return tuple(found)

    def _is_whole(self, known: Descriptor) -> bool:
        return self._about(known).subject is None

    def _about(self, known: Descriptor) -> About:
        try:
            return msgspec.json.decode(self._manifest(known), type=About)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _no_layout(self._folder, f"the manifest {known.digest} is damaged") from error

    def _manifest(self, known: Descriptor) -> bytes:
        if known.size > MOST_MANIFEST_BYTES:
            raise TooLarge(
                f"the manifest {known.digest} is of {known.size:,} bytes",
                next_step="name an artefact of a model; no manifest is that large",
            )
        return self.blob(known)

    def _index(self) -> tuple[Descriptor, ...]:
        try:
            return msgspec.json.decode(
                self._file(_INDEX, MOST_MANIFEST_BYTES), type=Index
            ).manifests
        except (msgspec.DecodeError, RecursionError) as error:
            raise _no_layout(self._folder, f"{_INDEX} is damaged") from error

    def _read(self, digest: str, most: int) -> bytes:
        return self._file(f"blobs/sha256/{hex_of(digest)}", most)

    def _file(self, path: str, most: int) -> bytes:
        with Folder(self._folder) as folder:
            return folder.read(path, most)


def _tag(known: Descriptor) -> str:
    return known.annotations.get(_REF_NAME, "")


def _differs(digest: str, where: Path) -> DigestMismatch:
    return DigestMismatch(
        f"{where}: what is kept under {digest} is something else",
        next_step="copy or export it again",
    )


def _no_layout(folder: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{folder} is not an OCI image layout: {why}",
        next_step="name a folder that was written by `shipway export --format oci`, or by skopeo",
    )
