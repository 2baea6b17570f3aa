"""Files that survive a crash: private folders, whole writes, locks between processes.

Everything that the store writes outside of its database goes through here, so that the order
write, fsync, rename, fsync of the folder stands in one place, and an ``OSError`` becomes a
:class:`~shipway.errors.StoreError` that says what a person can do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from shipway.domain.names import new_id
from shipway.errors import StoreError

PRIVATE = 0o600
SHARED = 0o666
"""Permissions of a new file, of which the user's umask takes away what it will."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_LOCK_POLL_S = 0.002
LOCK_TIMEOUT_S = 60.0


def store_error(path: Path, error: OSError) -> StoreError:
    """What *error* at *path* means to a person."""
    if error.errno in _FULL:
        return StoreError(
            f"the disk that holds {path} is full; nothing was half-written",
            next_step=f"free some space there (see `df -h {path}`), then try again",
        )
    if error.errno in _REFUSED:
        return StoreError(
            f"{path} cannot be used: {os.strerror(error.errno or 0).lower()}",
            next_step="give yourself the right to read and write there, "
            "or set SHIPWAY_HOME to a folder of your own",
        )
    return StoreError(
        f"{path} cannot be read or written: {error.strerror or error}",
        next_step="look at the disk and the folder with `shipway doctor`, then try again",
    )


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` within the block into a StoreError about *path*."""
    try:
        yield
    except OSError as error:
        raise store_error(path, error) from error


def private_folder(path: Path) -> None:
    """Make *path* and whatever is missing above it, for this user's eyes only (0700), durably."""
    if path.is_dir():
        return
    if path.parent != path:
        private_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def made_folder(path: Path) -> Path:
    """*path*, made private and durable if it is not there; raises StoreError if it cannot be."""
    with storing(path):
        private_folder(path)
    return path


def write_new(path: Path, data: bytes, *, sync: bool = True, mode: int = PRIVATE) -> None:
    """Write *data* to *path*, which must not exist yet, and make the bytes durable."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in the folder *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Put *data* in the place of *path*, whole or not at all, and durably so.

    *mode* is :data:`PRIVATE` for what is the store's own and :data:`SHARED` for what is written
    for people into their folders.
    """
    staged = path.with_name(f".{path.name}.{new_id()}.tmp")
    try:
        write_new(staged, data, mode=mode)
        staged.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            staged.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write in any number of steps, that takes the place of *path* when all went well."""
    staged = path.with_name(f".{path.name}.{new_id()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(staged, flags, PRIVATE), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            staged.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock *path* alone among all threads and processes of this machine.

    The lock is the kernel's and goes with the process, so a killed one leaves none behind.
    Raises :class:`~shipway.errors.StoreError` when it is not free within *timeout_s*.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with storing(path):
        descriptor = os.open(path, flags, 0o600)
    try:
        with storing(path):
            _take(descriptor, path, timeout_s)
        yield
    finally:
        # Nothing was written through it: what close() says is no news of what was done within.
        with suppress(OSError):
            os.close(descriptor)


def _take(descriptor: int, path: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not _taken(descriptor):
        if time.monotonic() >= deadline:
            raise StoreError(
                f"{path} was held by another process for {timeout_s:g} s",
                next_step="see which one with `shipway doctor`; "
                "stop it if it hangs, then try again",
            )
        time.sleep(_LOCK_POLL_S)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
