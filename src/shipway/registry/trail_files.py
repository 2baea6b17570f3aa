"""The files of an audit log: which there are, and what is read of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from shipway.durable import storing
from shipway.errors import IntegrityError
from shipway.security.audit import MOST_LINE_BYTES, Line, Tombstone, line_digest, read_line

TOMBSTONE_FILE = "tombstone.json"
_SUFFIX = ".jsonl"
_TAIL_BYTES = 2 * MOST_LINE_BYTES


def segment_path(folder: Path, seq: int) -> Path:
    """The file of the log in *folder* whose first line is number *seq*."""
    return folder / f"{seq:012d}{_SUFFIX}"


def segments(folder: Path) -> list[Path]:
    """The files of the log in *folder*, oldest first; each is named by its first line's number."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def read_lines(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every whole line of the log in *folder* that its tombstone does not cover, with its place.

    Raises :class:`~shipway.errors.StoreError` for a file that cannot be read.
    """
    stone = read_tombstone(folder)
    files = segments(folder)
    if stone is not None:  # of a process killed between the tombstone and what it stands for
        through = stone.seq
        later = [path for path in files if int(path.stem) > through]
        files = later if later and int(later[0].stem) == through + 1 else files
    for path in files:
        with storing(path), path.open("rb") as file:
            for number, data in enumerate(file, start=1):
                if data.endswith(b"\n"):
                    yield f"{path.name}:{number}", data[:-1]


def read_tombstone(folder: Path) -> Tombstone | None:
    """What stands for the lines that were let go, if any were."""
    path = folder / TOMBSTONE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tombstone)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise IntegrityError(
            f"{path} is no tombstone of an audit log any more: {error}",
            next_step="restore it from a backup; the lines that it stood for are gone",
        ) from error


def first_line(path: Path) -> Line:
    """The first line of the file *path*; raises msgspec's error for one that is none."""
    with storing(path), path.open("rb") as file:
        return read_line(file.readline(MOST_LINE_BYTES).rstrip(b"\n"))


def last_line(path: Path) -> tuple[Line, str]:
    """The last whole line of *path* and its digest."""
    data, _ = tail(path)
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    return read_line(lines[-1]), line_digest(lines[-1])


def tail(path: Path) -> tuple[bytes, int]:
    """The end of the file *path*, in which there is a whole line, and where that begins."""
    with storing(path), path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
        file.seek(start)
        return file.read(), start
