"""Writing a file whole or not at all, and what a failed write is told as."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from shipway.errors import StoreError


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> Path:
    """*folder*, made if it is not there; raises :class:`~shipway.errors.StoreError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, "make the folder", folder) from error
    return folder


def replace_file(path: Path, fill: Callable[[Path], object]) -> None:
    """Put at *path* what *fill* writes into the temporary path it is given, all or nothing.

    Raises :class:`~shipway.errors.StoreError`; the old file is then still whole.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fill(temporary)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise store_error(error, "write", path) from error
    finally:
        temporary.unlink(missing_ok=True)


def store_error(error: OSError, doing: str, path: Path) -> StoreError:
    """What *error* means to a person who wanted to have *path* written."""
    steps = {
        errno.ENOSPC: "make room on the disk, or move the store with SHIPWAY_HOME",
        errno.EDQUOT: "make room in the quota, or move the store with SHIPWAY_HOME",
        errno.EROFS: "move the store to a disk that can be written, with SHIPWAY_HOME",
        errno.EACCES: "give the user that runs Shipway the right to write there",
    }
    return StoreError(
        f"could not {doing} {path}: {error.strerror or error}",
        next_step=steps.get(error.errno or 0, "look after the disk, then try again"),
    )
