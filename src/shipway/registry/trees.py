"""The files of a folder, or one file, as a signature lists them: by content, following no link.

For models that lie outside of a store, from whoever signed them. What is no regular file, or has
a name that cannot be signed, is listed with a digest that nothing has.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from shipway.errors import NotFoundError
from shipway.security.statements import ALWAYS_IGNORED, WHOLE, Resource, Statement, name_fault

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
_NO_FILE = ""
Part = tuple[int, int]


def resources_of(
    root: Path, statement: Statement, *, besides: Sequence[Path] = ()
) -> Iterator[Resource]:
    """What there is below *root*, in the parts in which *statement* lists it.

    Left out are *besides* (the signature itself) and git's own files at the top, as the format
    has it; nothing else, whatever the signer says. Raises :class:`~shipway.errors.NotFoundError`
    when *root* is not there.
    """
    parts = _parts(statement)
    if root.is_dir() and not root.is_symlink():
        skipped = {Path(os.path.abspath(path)) for path in besides}  # noqa: PTH100 - links stay
        for path in _walk(root):
            if Path(os.path.abspath(path)) not in skipped:  # noqa: PTH100
                yield from _listed(path, path.relative_to(root).as_posix(), parts)
    elif os.path.lexists(root):
        yield from _listed(root, WHOLE, parts)
    else:
        raise NotFoundError(f"there is no model at {str(root)!r}", next_step="check the path")


def _parts(statement: Statement) -> Mapping[str, list[Part]]:
    parts: dict[str, list[Part]] = defaultdict(list)
    for one in statement.resources:
        if one.end is not None:
            parts[one.name].append((one.start, one.end))
    return parts


def _walk(root: Path) -> Iterator[Path]:
    """Everything below *root* that is no folder, a link to a folder included."""
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        if here == root:
            folders[:] = [name for name in folders if name not in ALWAYS_IGNORED]
            names = [name for name in names if name not in ALWAYS_IGNORED]  # noqa: PLW2901
        yield from (here / name for name in names)
        yield from (here / name for name in folders if (here / name).is_symlink())


def _listed(path: Path, name: str, parts: Mapping[str, list[Part]]) -> Iterator[Resource]:
    allowed = name == WHOLE or not name_fault(name)
    try:
        descriptor = os.open(path, _FILE)
    except OSError:
        yield Resource(name, _NO_FILE)
        return
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not allowed or not stat.S_ISREG(status.st_mode):
            yield Resource(name, _NO_FILE)
        elif (shards := sorted(parts.get(name, ()))) and _cover(shards, status.st_size):
            yield from (Resource(name, _digest(file, *part), *part) for part in shards)
        else:
            yield Resource(name, hashlib.file_digest(file, "sha256").hexdigest())


def _cover(shards: list[Part], size: int) -> bool:
    """Whether *shards* are the whole of a file of *size* bytes, without a gap or an overlap."""
    ends = [0, *(end for _, end in shards)]
    return [start for start, _ in shards] == ends[:-1] and ends[-1] == size


def _digest(file: BinaryIO, start: int, end: int) -> str:
    sha = hashlib.sha256()
    file.seek(start)
    while start < end and (chunk := file.read(min(_CHUNK_BYTES, end - start))):
        sha.update(chunk)
        start += len(chunk)
    return sha.hexdigest()
