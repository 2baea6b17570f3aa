"""Which files a version may have, and how they are described."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType

from shipway.domain.digests import digest_of
from shipway.domain.names import is_device
from shipway.errors import Problem
from shipway.registry.records import FileEntry

_MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".json": "application/json",
        ".md": "text/markdown",
        ".onnx": "application/vnd.onnx",
        ".patch": "text/x-diff",
        ".toml": "application/toml",
        ".txt": "text/plain",
        ".ubj": "application/ubjson",
        ".yaml": "application/yaml",
    }
)
MANIFEST_NAME = "shipway-manifest.json"
"""What the manifest is called where it lies beside the files, as it does for a signature."""

_LONGEST_PART_BYTES = 255
_LONGEST_PATH_LENGTH = 1024


def file_entries(files: Mapping[str, bytes]) -> tuple[FileEntry, ...]:
    """An entry for each of *files* (path to content), sorted by path."""
    return tuple(
        FileEntry(
            path=path,
            digest=digest_of(files[path]),
            size_bytes=len(files[path]),
            media_type=_MEDIA_TYPES.get(PurePosixPath(path).suffix, "application/octet-stream"),
        )
        for path in sorted(files)
    )


def path_fault(path: str) -> str:
    """Why *path* may not name a file of a version; "" if it may.

    A path is relative, ``/``-separated and in NFC, and means the same on every file system.
    """
    parts = path.split("/")
    longest = max(len(part.encode(errors="replace")) for part in parts)
    faults = {
        "it is empty": not path,
        "it is absolute": path.startswith("/"),
        "it has an empty part, '.' or '..' in it": bool({"", ".", ".."} & set(parts)),
        "it has a backslash, a colon, a control character or the like in it": any(
            sign in '\\:<>"|?*' or unicodedata.category(sign) in {"Cc", "Cs"} for sign in path
        ),
        "a part of it ends with a dot or a space": any(part.endswith((".", " ")) for part in parts),
        "a part of it is the name of a device of Windows": any(map(is_device, parts)),
        "it is not in Unicode's composed form (NFC)": not unicodedata.is_normalized("NFC", path),
        f"a part of it is longer than {_LONGEST_PART_BYTES} bytes": longest > _LONGEST_PART_BYTES,
        "it is what the manifest is called": path.casefold() == MANIFEST_NAME,
        f"it is longer than {_LONGEST_PATH_LENGTH} characters": len(path) > _LONGEST_PATH_LENGTH,
    }
    return next((fault for fault, found in faults.items() if found), "")


def path_problems(entries: Sequence[FileEntry]) -> Iterator[Problem]:
    """Everything about the paths of *entries* that forbids to write them below one folder."""
    seen: dict[str, str] = {}
    for entry in entries:
        if fault := path_fault(entry.path):
            yield Problem("registry.path-not-allowed", f"{entry.path!r} is refused: {fault}")
        folded = entry.path.casefold()
        if folded in seen:
            clash = f"{entry.path!r} and {seen[folded]!r} are one file on some file systems"
            yield Problem("registry.path-repeated", clash)
        seen.setdefault(folded, entry.path)
    for folded, path in seen.items():
        above = [str(parent) for parent in PurePosixPath(folded).parents]
        if any(parent in seen for parent in above):
            yield Problem("registry.path-repeated", f"{path!r} lies below another file")


def content_problems(entries: Sequence[FileEntry], files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Where *files* are not the files that *entries* describe."""
    described = {entry.path: entry for entry in entries}
    for path in sorted(described.keys() - files.keys()):
        yield Problem("registry.file-missing", f"the manifest lists {path!r}, which was not given")
    for path in sorted(files.keys() - described.keys()):
        yield Problem("registry.file-unlisted", f"{path!r} was given and is not in the manifest")
    for path in sorted(files.keys() & described.keys()):
        entry, content = described[path], files[path]
        if (entry.digest, entry.size_bytes) != (digest_of(content), len(content)):
            message = f"{path!r} is not what the manifest says: {digest_of(content)}"
            yield Problem("registry.file-differs", message, hint=f"the manifest: {entry.digest}")
