"""A folder that is made whole or not at all, and that replaces only one of its own kind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipway.domain.names import new_id
from shipway.durable import sync_folder
from shipway.errors import ConflictError

_EPOCH_S = 315_532_800  # 1980-01-01, the earliest that every archive format can say


@contextmanager
def replacing(out: Path, *, marker: str, begins: bytes, force: bool) -> Iterator[Path]:
    """A fresh folder that takes the place of *out* when the block ends well.

    What is in *out* goes only with *force*, and only if it has a file *marker* that begins with
    *begins*: then it was made here. Raises :class:`~shipway.errors.ConflictError` otherwise.
    """
    _check_replaceable(out, marker, begins, force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.{new_id()}")
    fresh.mkdir()
    try:
        yield fresh
        _settle(fresh)
        if out.exists():
            shutil.rmtree(out)
        fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    sync_folder(out.parent)


def write_file(folder: Path, name: str, data: bytes) -> None:
    """Write *data* to the file *name* in *folder*, with the folders between."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def size_of(folder: Path) -> int:
    """The bytes of all files in *folder*."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _settle(folder: Path) -> None:
    """Give everything one date and plain rights, and make every byte durable."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_EPOCH_S, _EPOCH_S))
        sync_folder(path) if path.is_dir() else _sync_file(path)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _check_replaceable(out: Path, marker: str, begins: bytes, *, force: bool) -> None:
    empty = out.is_dir() and not out.is_symlink() and not any(out.iterdir())
    if empty or not (out.exists() or out.is_symlink()):
        return
    proof = out / marker
    ours = not out.is_symlink() and proof.is_file() and proof.read_bytes().startswith(begins)
    if not (force and ours):
        raise ConflictError(
            f"{out} is already there" + ("" if ours else " and was not made by Shipway"),
            next_step="add --force to make it anew" if ours else "choose another folder",
        )
