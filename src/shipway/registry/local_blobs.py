"""Blobs in a folder that is an OCI image layout: ``blobs/sha256/<hex>`` and ``index.json``.

A blob is written under another name, synced, renamed, and the folder synced, so that what has
its name is whole. ``index.json`` is a view: it is made from the records, never read back.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from shipway.domain.digests import digest_of
from shipway.domain.names import new_id
from shipway.durable import (
    locked,
    private_folder,
    replace_file,
    store_error,
    storing,
    sync_folder,
    write_new,
)
from shipway.errors import IntegrityError
from shipway.registry.oci import EDITION_BYTES, LAYOUT, Descriptor, hex_of, index_bytes, is_edition

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_NOW = frozenset({errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What says nothing of the blob itself, only that it cannot be had."""

_LEFTOVER_AGE_S = 24 * 3600.0
_INDEX_WAIT_S = 10.0
_HEX_LENGTH = 64


class LocalBlobs:
    """A :class:`~shipway.registry.ports.BlobStore` in the folder *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._staging = folder / "staging"
        self._index = folder / "index.json"
        with storing(folder):
            private_folder(self._blobs)
            private_folder(self._staging)
            marker = folder / "oci-layout"
            if not marker.exists():
                replace_file(marker, LAYOUT)
            self._clear_leftovers()

    def put(self, contents: Sequence[bytes]) -> tuple[str, ...]:
        """See the port. All blobs are synced before the first is renamed to its name."""
        wanted = {digest_of(content): content for content in contents}
        staged: list[tuple[Path, Path]] = []
        try:
            with storing(self._folder):
                for digest, content in wanted.items():
                    final = self._path(digest)
                    if not _holds(final, content):
                        staging = self._staging / new_id()
                        staged.append((staging, final))
                        write_new(staging, content)
                for staging, final in staged:
                    staging.replace(final)
                # Also when nothing was staged: another process may have renamed and not synced.
                sync_folder(self._blobs)
        finally:
            for staging, _ in staged:
                with suppress(OSError):
                    staging.unlink(missing_ok=True)
        return tuple(digest_of(content) for content in contents)

    def open(self, digest: str) -> BinaryIO:
        """See the port. A link, a pipe or a device in the place of a blob is refused."""
        path = self._path(digest)
        try:
            descriptor = os.open(path, _READ)
        except OSError as error:
            if error.errno in _NOT_NOW:
                raise store_error(path, error) from error
            raise _unusable(digest, error.strerror or str(error)) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _unusable(digest, "it is not a regular file")
        return os.fdopen(descriptor, "rb")

    def has(self, digest: str) -> bool:
        """See the port."""
        try:
            return stat.S_ISREG(self._path(digest).lstat().st_mode)
        except OSError:
            return False

    def digests(self) -> Iterator[str]:
        """See the port."""
        with storing(self._blobs), os.scandir(self._blobs) as entries:
            names = [entry.name for entry in entries]
        yield from (f"sha256:{name}" for name in names if len(name) == _HEX_LENGTH)

    def remove(self, digest: str) -> int:
        """See the port. Whoever has it open reads on to the end."""
        path = self._path(digest)
        with storing(self._blobs):
            try:
                size = path.lstat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
            sync_folder(self._blobs)
        return size

    def write_index(
        self, edition: Callable[[], str], listing: Callable[[], Sequence[Descriptor]]
    ) -> None:
        """See the port. Whoever comes last lists all, so nobody's version is left out."""
        if self._is_indexed(edition()):
            return
        with locked(self._folder / "index.lock", timeout_s=_INDEX_WAIT_S):
            now = edition()
            if not self._is_indexed(now):
                content = index_bytes(listing(), now)
                with storing(self._index):
                    replace_file(self._index, content)

    @property
    def where(self) -> str:
        """What errors and findings call it."""
        return str(self._folder)

    def read_index(self) -> bytes | None:
        """The index as it stands, None without one."""
        try:
            return self._index.read_bytes()
        except OSError:
            return None

    def _is_indexed(self, edition: str) -> bool:
        """Whether the index is of *edition*, and whole as far as its two ends tell."""
        try:
            with self._index.open("rb") as file:
                start = file.read(EDITION_BYTES)
                file.seek(-1, os.SEEK_END)
                return is_edition(start, edition) and file.read() == b"}"
        except OSError:
            return False

    def _path(self, digest: str) -> Path:
        return self._blobs / hex_of(digest)

    def _clear_leftovers(self) -> None:
        """Remove what killed processes left in staging, once nobody can be writing it still."""
        oldest = time.time() - _LEFTOVER_AGE_S
        for path in self._staging.iterdir():
            with suppress(OSError):
                if path.lstat().st_mtime < oldest:
                    path.unlink()


def _holds(path: Path, content: bytes) -> bool:
    """Whether *path* is a regular file with exactly *content*; what cannot be read is not."""
    try:
        descriptor = os.open(path, _READ)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size != len(content):
                return False
            return file.read() == content
    except OSError:
        return False


def _unusable(digest: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"the blob {digest} cannot be opened: {why}",
        next_step="restore it from a backup, or publish the same files again",
    )
