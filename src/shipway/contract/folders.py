"""Tables that lie in several files: a folder of them, or all that a pattern names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shipway.contract.formats import KNOWN, SUFFIXES
from shipway.errors import UnreadableTable

_PATTERN = frozenset("*?[")


def are_several(path: Path) -> bool:
    """Whether *path* names a folder, or is a pattern and no file of that name is there."""
    return path.is_dir() or (bool(_PATTERN & set(str(path))) and not path.exists())


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that *path* names: itself, a folder's tables at any depth, a pattern's matches.

    They come in the order of their names below the folder. Of a folder, files whose names end as
    tables do are taken, and nothing whose name, or whose folder's, begins with ``.`` or ``_``; a
    pattern (``*``, ``**``, ``?``, ``[ab]``) takes what it matches. Raises
    :class:`~shipway.errors.UnreadableTable` where that is nothing.
    """
    if path == Path():
        raise UnreadableTable(
            "no table is named: the path is empty, or just a dot",
            next_step="name a file or a folder; if the path came from a variable, is it set?",
        )
    if not are_several(path):
        return (path,)
    found = sorted(_tables_in(path) if path.is_dir() else _matches(path))
    if not found:
        raise UnreadableTable(
            f"there is no {KNOWN} file in {path}" if path.is_dir() else f"no file is named {path}",
            next_step=f"check the path; names of tables end in {', '.join(SUFFIXES)}",
        )
    return tuple(found)


def names_of(path: Path, files: tuple[Path, ...]) -> tuple[str, ...]:
    """What to call *files* of :func:`files_of`: their paths below the folder that has them all."""
    if not are_several(path):
        return tuple(file.name for file in files)
    base = path if path.is_dir() else _base(path)
    return tuple(file.relative_to(base).as_posix() for file in files)


def _tables_in(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "_")) for part in parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _matches(pattern: Path) -> Iterator[Path]:
    base = _base(pattern)
    return (path for path in base.glob(str(pattern.relative_to(base))) if path.is_file())


def _base(pattern: Path) -> Path:
    """The deepest folder above everything that *pattern* can match."""
    plain: list[str] = []
    for part in pattern.parts:
        if _PATTERN & set(part):
            break
        plain.append(part)
    return Path(*plain)
