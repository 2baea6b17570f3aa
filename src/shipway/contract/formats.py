"""What a file of data is, told by its first bytes, or a clear word why it is not read."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from shipway.errors import UnreadableTable


class Format(StrEnum):
    """The formats that tables are read from and written to."""

    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"
    LINES = "jsonl"


SUFFIXES: Final[Mapping[str, Format]] = {
    ".parquet": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".feather": Format.ARROW,
    ".ipc": Format.ARROW,
    ".csv": Format.CSV,
    ".jsonl": Format.LINES,
    ".ndjson": Format.LINES,
}
"""The endings of names by which a folder's tables are found and outputs are chosen."""

KNOWN: Final = "parquet, Arrow, CSV or JSON lines"

_MAGIC: Mapping[bytes, Format] = {b"PAR1": Format.PARQUET, b"ARROW1": Format.ARROW}
_OTHERS: Mapping[bytes, str] = {
    b"PK\x03\x04": "a zip archive (an Excel workbook is one)",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstandard",
    b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"\xff\xff\xff\xff": "a stream of Arrow messages, which has no end that can be found",
}
_CONVERT = "convert it to parquet, Arrow (a file, not a stream), or CSV in UTF-8"
_HEAD_BYTES = 64 * 1024


def format_of_file(path: Path) -> Format:
    """The format of the file at *path* by its content; its name only explains the surprise.

    Raises :class:`~shipway.errors.UnreadableTable` for what is missing, empty, or none of them.
    """
    return format_of_head(path, head_of(path))


def format_of_head(path: Path, head: bytes) -> Format:
    """The format of the file at *path* that begins with *head*."""
    for magic, known in _MAGIC.items():
        if head.startswith(magic):
            return known
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise UnreadableTable(f"{path} is {what}", next_step=_CONVERT)
    named = SUFFIXES.get(path.suffix.lower())
    if named in (Format.PARQUET, Format.ARROW):
        raise UnreadableTable(
            f"{path} is named {path.suffix} but does not hold {named}",
            next_step=f"write it again as {named}, or rename it to .csv if it is one",
        )
    if b"\0" in head:
        raise UnreadableTable(f"{path} is a binary file of an unknown kind", next_step=_CONVERT)
    first = head.lstrip()[:1]
    if first == b"[":
        raise UnreadableTable(
            f"{path} looks like JSON, one list of all rows",
            next_step="write it as JSON lines, one object a row, or convert it to parquet",
        )
    return Format.LINES if named is Format.LINES or first == b"{" else Format.CSV


def head_of(path: Path) -> bytes:
    """The first 64 KiB of the file at *path*; raises UnreadableTable, also where it is empty."""
    if path.is_dir():
        raise UnreadableTable(f"{path} is a folder", next_step=f"name one {KNOWN} file within it")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise UnreadableTable(
            f"there is no file at {path}", next_step=f"check the path{_neighbours(path)}"
        ) from error
    except OSError as error:
        raise UnreadableTable(
            f"{path} cannot be opened: {error.strerror}", next_step="check its permissions"
        ) from error
    if not head:
        raise UnreadableTable(
            f"{path} is empty (0 bytes)", next_step="write the table again: it was cut off"
        )
    return head


def _neighbours(path: Path) -> str:
    try:
        names = sorted(p.name for p in path.parent.iterdir() if p.suffix.lower() in SUFFIXES)
    except OSError:
        return ""
    return f"; tables in {path.parent}: {', '.join(names[:5])}" if names else ""
