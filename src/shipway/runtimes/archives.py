"""skops archives whose bytes depend on the model alone.

skops names what it writes after addresses in memory and the time of day, so the same model would
be another version every time it is packed. Here both are replaced: names count up in the order
in which they are met, and every member is of 1980, the first year that a ZIP archive can tell.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath
from typing import Any

import msgspec

_SCHEMA = "schema.json"


def canonical_archive(data: bytes) -> bytes:
    """The skops archive *data* with names and times that say nothing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = msgspec.json.decode(members.pop(_SCHEMA))
    ids: dict[int, int] = {}
    names: dict[str, str] = {}
    _rename(schema, ids, names)
    renamed = {names.get(name, name): content for name, content in members.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [*sorted(renamed.items()), (_SCHEMA, msgspec.json.encode(schema))]:
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _rename(node: Any, ids: dict[int, int], names: dict[str, str]) -> None:
    """Count ids and files of *node* and all below it, in place; a node has a ``__loader__``."""
    if isinstance(node, list):
        for one in node:
            _rename(one, ids, names)
    if not isinstance(node, dict):
        return
    if "__loader__" in node and isinstance(node.get("__id__"), int):
        node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
    file = node.get("file")
    if "__loader__" in node and isinstance(file, str):
        node["file"] = names.setdefault(file, f"{len(names) + 1:05}{PurePosixPath(file).suffix}")
    for one in node.values():
        _rename(one, ids, names)
