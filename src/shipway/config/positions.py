"""On which line each table, key and list item of a TOML document stands.

``tomllib`` gives values without places, and a problem without a place sends people searching.
This scanner reads text that ``tomllib`` has already accepted, so it never judges: it only
walks statements, strings and brackets, and remembers lines.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*+)*+")
_INLINE_BLANK = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}\r\n#]*")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


def find_positions(text: str) -> Mapping[Path, int]:
    """The line (from 1) of every table, key and item of the valid TOML document *text*.

    A path is made of keys and, within lists, of indices from 0. A table stands where its header
    does, or else where its first key does.

    >>> find_positions('[serve]\\nport = 1\\n')[("serve", "port")]
    2
    """
    return _Scanner(text).scan()


class _Scanner:
    """One pass over one document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._lengths: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        """Walk all statements."""
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        if match := pattern.match(self._text, self._at):
            self._at = match.end()
        return self._at

    def _remember(self, path: Path, line: int) -> None:
        for depth in range(1, len(path) + 1):
            self._lines.setdefault(path[:depth], line)

    def _header(self) -> Path:
        line = self._line()
        repeated = self._text.startswith("[[", self._at)
        self._at += 2 if repeated else 1
        names = self._key()
        self._at += 2 if repeated else 1
        path: Path = ()
        for depth, name in enumerate(names):
            path = (*path, name)
            if repeated and depth == len(names) - 1:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        self._remember(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = (*table, *self._key())
        self._at += 1
        self._remember(path, line)
        self._skip(_INLINE_BLANK)
        self._value(path)

    def _key(self) -> Path:
        """A dotted key, up to the character after it and its blanks."""
        names: list[str] = []
        while True:
            self._skip(_INLINE_BLANK)
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                raw = self._text[start : self._at]
                names.append(str(tomllib.loads(f"name = {raw}")["name"]))
            else:
                self._skip(_BARE)
                names.append(self._text[start : self._at])
            self._skip(_INLINE_BLANK)
            if self._text[self._at] != ".":
                return tuple(names)
            self._at += 1

    def _string(self) -> None:
        for pattern in _STRINGS:
            if match := pattern.match(self._text, self._at):
                self._at = match.end()
                return

    def _value(self, path: Path) -> None:
        first = self._text[self._at]
        if first == "[":
            self._items(path)
        elif first == "{":
            self._inline_table(path)
        elif first in "\"'":
            self._string()
        else:
            self._skip(_SCALAR)

    def _items(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip(_BLANK)] != "]":
            item = (*path, index)
            self._remember(item, self._line())
            self._value(item)
            index += 1
            if self._text[self._skip(_BLANK)] == ",":
                self._at += 1
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._text[self._skip(_BLANK)] != "}":
            self._pair(path)
            if self._text[self._skip(_BLANK)] == ",":
                self._at += 1
        self._at += 1
