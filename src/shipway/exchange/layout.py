"""Artefacts in an OCI image layout, for ``skopeo``, ``oras`` and the like.

A layout is read wherever its files are, in a folder or in an archive, and written to a folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from shipway.domain.digests import digest_of
from shipway.durable import replace_file, storing
from shipway.errors import (
    ConflictError,
    DigestMismatch,
    ModelFileError,
    NotFoundError,
    TooLarge,
    UsageError,
)
from shipway.exchange.beneath import Folder
from shipway.exchange.repository import MOST_MANIFEST_BYTES, About
from shipway.registry.oci import LAYOUT, Descriptor, Index, hex_of, image_descriptor, index_bytes

_REF_NAME = "org.opencontainers.image.ref.name"
ROOT = "oci-layout"
INDEX = "index.json"


class Files(Protocol):
    """Where the files of a layout are read from."""

    def read(self, path: str, most_bytes: int) -> bytes:
        """The file *path*, of no more than *most_bytes*; raises ModelFileError."""


class FolderFiles:
    """The files of a folder, which whoever made it may change meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str, most_bytes: int) -> bytes:
        """See the protocol."""
        with Folder(self._folder) as folder:
            return folder.read(path, most_bytes)


class Layout:
    """A :class:`~shipway.exchange.repository.Source` in *files*, called *where* in messages."""

    def __init__(self, files: Files, where: str) -> None:
        self._files = files
        self._where = where

    def blob(self, descriptor: Descriptor) -> bytes:
        """See the port."""
        path = f"blobs/sha256/{hex_of(descriptor.digest)}"
        try:
            content = self._files.read(path, descriptor.size)
        except ModelFileError as error:
            raise NotFoundError(
                f"{self._where} has no blob {descriptor.digest} of {descriptor.size:,} bytes:"
                f" {error.message}",
                next_step="copy or export it again",
            ) from error
        if (digest_of(content), len(content)) != (descriptor.digest, descriptor.size):
            raise DigestMismatch(
                f"{self._where}: what is kept under {descriptor.digest} is something else",
                next_step="copy or export it again",
            )
        return content

    def manifest(self, key: str) -> bytes:
        """See the port. "" is the only manifest that has no subject."""
        index = self.index()
        if not key:
            return self._only(index)
        for known in index:
            if key in (known.digest, tag_of(known)):
                return self._manifest(known)
        raise NotFoundError(
            f"{self._where} holds no artefact {key!r}",
            next_step=f"look what {INDEX} in it lists",
        )

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """See the port."""
        found = []
        for known in self.index():
            about = self._about(known)
            if about.subject is not None and about.subject.digest == digest:
                found.append(known)
        return tuple(found)

    def index(self) -> tuple[Descriptor, ...]:
        """What the layout lists."""
        try:
            return msgspec.json.decode(
                self._files.read(INDEX, MOST_MANIFEST_BYTES), type=Index
            ).manifests
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._no_layout(f"{INDEX} is damaged") from error

    def _only(self, index: tuple[Descriptor, ...]) -> bytes:
        whole = [known for known in index if self._about(known).subject is None]
        if len({known.digest for known in whole}) > 1:
            tags = ", ".join(filter(None, map(tag_of, whole))) or "none has a tag"
            raise UsageError(
                f"{self._where} holds {len(whole)} artefacts: {tags}"[:500],
                next_step=f"say which one is meant: {self._where}:TAG",
            )
        if not whole:
            raise NotFoundError(f"{self._where} holds no artefact", next_step="check the path")
        return self._manifest(whole[0])

    def _about(self, known: Descriptor) -> About:
        try:
            return msgspec.json.decode(self._manifest(known), type=About)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._no_layout(f"the manifest {known.digest} is damaged") from error

    def _manifest(self, known: Descriptor) -> bytes:
        if known.size > MOST_MANIFEST_BYTES:
            raise TooLarge(
                f"the manifest {known.digest} is of {known.size:,} bytes",
                next_step="name an artefact of a model; no manifest is that large",
            )
        return self.blob(known)

    def _no_layout(self, why: str) -> ModelFileError:
        return ModelFileError(
            f"{self._where} is not an OCI image layout: {why}",
            next_step="name one that was written by `shipway push`, skopeo or oras",
        )


class LayoutFolder:
    """A :class:`~shipway.exchange.repository.Repository` in the folder *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layout = Layout(FolderFiles(folder), str(folder))
        self.blob = self._layout.blob
        self.manifest = self._layout.manifest
        self.referrers = self._layout.referrers

    def begin(self) -> None:
        """Make the folder a layout, if it is none yet.

        Raises :class:`~shipway.errors.ConflictError` for a folder with something else in it.
        """
        with storing(self._folder):
            there = self._folder.is_dir() and any(self._folder.iterdir())
            if there and not (self._folder / ROOT).is_file():
                raise ConflictError(
                    f"{str(self._folder)!r} holds something else than an OCI image layout",
                    next_step="name an empty folder, or one that is not there yet",
                )
            (self._folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            if not (self._folder / ROOT).exists():
                replace_file(self._folder / ROOT, LAYOUT)
                replace_file(self._folder / INDEX, index_bytes(()))

    def put_blob(self, content: bytes) -> bool:
        """See the port."""
        path = self._folder / "blobs" / "sha256" / hex_of(digest_of(content))
        with storing(path):
            if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
                return False
            replace_file(path, content)
        return True

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
            msgspec.structs.replace(known, annotations={})
            if tag and tag_of(known) == tag
            else known
            for known in self._layout.index()
            if (known.digest, tag_of(known)) != (one.digest, tag)
        ]
        with storing(self._folder / INDEX):
            replace_file(self._folder / INDEX, index_bytes((*others, one)))


def tag_of(known: Descriptor) -> str:
    """The name by which a layout lists *known*; "" for none."""
    return known.annotations.get(_REF_NAME, "")
