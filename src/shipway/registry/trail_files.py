"""The files of an audit log: which there are, and what is read of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from shipway.durable import storing
from shipway.errors import IntegrityError
from shipway.security.audit import (
    MOST_LINE_BYTES,
    NOTHING,
    Head,
    Line,
    Tombstone,
    line_digest,
    read_line,
)

TOMBSTONE_FILE = "tombstone.json"
_SUFFIX = ".jsonl"
_TAIL_BYTES = 2 * MOST_LINE_BYTES


def segment_path(folder: Path, seq: int) -> Path:
    """The file of the log in *folder* whose first line is number *seq*."""
    return folder / f"{seq:012d}{_SUFFIX}"


def segments(folder: Path) -> list[Path]:
    """The files of the log in *folder*, oldest first; each is named by its first line's number."""
    with storing(folder):
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
        with storing(path):
            return msgspec.json.decode(path.read_bytes(), type=Tombstone) if path.exists() else None
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
    data, _ = tail(path, whole_bytes(path))
    last = data.splitlines()[-1]
    return read_line(last), line_digest(last)


def tail(path: Path, size: int) -> tuple[bytes, int]:
    """The end of the first *size* bytes of *path*, in which is a whole line; where that begins."""
    start = max(0, size - _TAIL_BYTES)
    with storing(path), path.open("rb") as file:
        file.seek(start)
        return file.read(size - start), start


def whole_bytes(path: Path) -> int:
    """How many bytes the whole lines of *path* have."""
    with storing(path):
        size = path.stat().st_size
    data, start = tail(path, size)
    last = data.rfind(b"\n") + 1
    return start + last if last else 0


def sound_bytes(path: Path, head: Head | None) -> int:
    """How many bytes of *path* may be written on after: those of the lines that follow each other.

    Only what the records do not know, beyond *head*, can be unsound: it is of a machine whose
    power was cut, which kept some sectors of it and of others none. All else stands as it is, for
    the check to find what was done to it.
    """
    size = whole_bytes(path)
    seq, newest = (head.seq, head.digest) if head else (0, NOTHING)
    if not size or line_digest(_last(path, size)) == newest:
        return size
    known = newest if int(path.stem) == seq + 1 else ""
    place = 0
    with storing(path), path.open("rb") as file:
        for data in file:
            if known:
                line = _line(data)
                if line is None or (line.seq, line.prev) != (seq + 1, known):
                    return place
                seq, known = line.seq, line_digest(data[:-1])
            elif line_digest(data[:-1]) == newest:
                known = newest
            place += len(data)
    return size


def _last(path: Path, size: int) -> bytes:
    return tail(path, size)[0].splitlines()[-1]


def _line(data: bytes) -> Line | None:
    """The line that *data* is, if it is one and whole."""
    try:
        return read_line(data[:-1]) if data.endswith(b"\n") else None
    except msgspec.DecodeError:
        return None
