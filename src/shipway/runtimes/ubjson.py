"""Whether bytes are one whole UBJSON value (draft 12), without building it.

XGBoost reads past the end of a file that was cut off and takes the process with it, so its
files are walked through first. Arrays of one type with a count, as XGBoost writes its numbers,
are stepped over in one stride.
"""

from __future__ import annotations

import struct

_SIZES = {b"i": 1, b"U": 1, b"C": 1, b"I": 2, b"l": 4, b"d": 4, b"L": 8, b"D": 8}
_EMPTY = (b"Z", b"N", b"T", b"F")
_INTEGERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}
_DEEPEST = 64


def is_whole_ubjson(data: bytes) -> bool:
    """Whether *data* is exactly one value, every part of it there.

    >>> is_whole_ubjson(b"[i\\x01i\\x02]"), is_whole_ubjson(b"[i\\x01i")
    (True, False)
    """
    try:
        return _after_value(data, 0, 0) == len(data)
    except (ValueError, struct.error):
        return False


def _take(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size]
    if len(part) != size or size < 0:
        raise ValueError("cut off")
    return part


def _after_value(data: bytes, at: int, depth: int) -> int:
    return _after_content(data, at + 1, _take(data, at, 1), depth)


def _after_content(data: bytes, at: int, marker: bytes, depth: int) -> int:
    """Where the value of type *marker*, whose content begins at *at*, ends."""
    if depth > _DEEPEST:
        raise ValueError("too deep")
    if marker in _EMPTY:
        return at
    if marker in _SIZES:
        _take(data, at, _SIZES[marker])
        return at + _SIZES[marker]
    if marker in (b"S", b"H"):
        return _after_text(data, at)
    if marker in (b"[", b"{"):
        return _after_container(data, at, marker == b"{", depth + 1)
    raise ValueError("unknown type")


def _after_container(data: bytes, at: int, named: bool, depth: int) -> int:
    kind = b""
    if _take(data, at, 1) == b"$":
        kind, at = _take(data, at + 1, 1), at + 2
    if _take(data, at, 1) != b"#":
        if kind:
            raise ValueError("a type needs a count")
        return _after_open(data, at, named, depth)
    count, at = _integer(data, at + 1)
    if kind in _SIZES and not named:
        _take(data, at, count * _SIZES[kind])
        return at + count * _SIZES[kind]
    for _ in range(count):
        at = _after_text(data, at) if named else at
        at = _after_content(data, at, kind, depth) if kind else _after_value(data, at, depth)
    return at


def _after_open(data: bytes, at: int, named: bool, depth: int) -> int:
    """Where a container without a count, whose first member begins at *at*, is closed."""
    end = b"}" if named else b"]"
    while _take(data, at, 1) != end:
        at = _after_text(data, at) if named else at
        at = _after_value(data, at, depth)
    return at + 1


def _after_text(data: bytes, at: int) -> int:
    size, at = _integer(data, at)
    _take(data, at, size)
    return at + size


def _integer(data: bytes, at: int) -> tuple[int, int]:
    marker = _take(data, at, 1)
    if marker not in _INTEGERS:
        raise ValueError("a length is no integer")
    size = _SIZES[marker]
    (value,) = struct.unpack(_INTEGERS[marker], _take(data, at + 1, size))
    if value < 0:
        raise ValueError("a length is negative")
    return int(value), at + 1 + size
