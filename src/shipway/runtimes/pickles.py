"""Finding pickles among the files of a version, told by their bytes or their name, opening none.

Opening a pickle runs the code in it. Archives are looked into, one within another, as far as a
PyTorch file in an archive of code needs.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from shipway.domain.digests import digest_of
from shipway.runtimes.detection import holds_pickle

_NAMES = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".ckpt"})
_DEEPEST = 3
_MOST_MEMBERS = 100_000
_MOST_BYTES = 2 << 30


def pickles_in(files: Mapping[str, Path]) -> list[tuple[str, str]]:
    """The pickles among *files*: the path of each, and the ``sha256:<hex>`` of its bytes.

    One within an archive is called ``model.zip/source/forest.pkl``.
    """
    return [
        found for name, path in sorted(files.items()) for found in _within(name, path.read_bytes())
    ]


def _within(name: str, data: bytes, depth: int = 0) -> Iterator[tuple[str, str]]:
    if holds_pickle(data) or PurePosixPath(name).suffix.lower() in _NAMES:
        yield name, digest_of(data)
    elif data.startswith(b"PK\x03\x04"):
        yield from _members(name, data, depth)


def _members(name: str, data: bytes, depth: int) -> Iterator[tuple[str, str]]:
    """Those of an archive; one that is too deep or too large counts as a pickle itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if depth >= _DEEPEST or len(members) > _MOST_MEMBERS or size > _MOST_BYTES:
                yield name, digest_of(data)
                return
            for member in members:
                yield from _within(f"{name}/{member.filename}", archive.read(member), depth + 1)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError):
        return  # a damaged archive is its loader's to refuse
