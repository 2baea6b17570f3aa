"""What this process opens, and what lies in a folder: to show that something was left alone."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WATCHERS: list[list[str]] = []
_installed: list[bool] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _WATCHERS:
        path = arguments[0]
        told = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        for opened in _WATCHERS:
            opened.append(told)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Every path that this process opens within the block, as it was named."""
    if not _installed:
        sys.addaudithook(_hook)  # which cannot be taken back, and does nothing unasked
        _installed.append(True)
    opened: list[str] = []
    _WATCHERS.append(opened)
    try:
        yield opened
    finally:
        _WATCHERS.remove(opened)


def tree(folder: Path) -> dict[str, str]:
    """Everything below *folder*: its kind, its mode and its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = ""
        if stat.S_ISREG(mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[path.relative_to(folder).as_posix()] = f"{mode:o} {content}"
    return found
