"""Text from anywhere made fit for a terminal, and numbers made fit for people.

A column name or a label can hold an escape sequence that moves the cursor or rewrites the title
of the window; what is printed shows such bytes instead of sending them.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT = frozenset("\n\t")


def visible(text: object) -> str:
    """``str(text)`` with every control and invisible formatting character written out.

    >>> visible("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    raw = str(text)
    if raw.isprintable():
        return raw
    return "".join(_shown(character) for character in raw)


def one_line(text: object) -> str:
    """Like :func:`visible`, and line breaks and tabs are written out as well."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def visible_json(text: str) -> str:
    """The JSON *text* with every character that :func:`visible` writes out escaped as JSON does.

    Such a character can only stand within a string, so the document stays the same.

    >>> print(visible_json('{"a": "\\x9b"}'))
    {"a": "\\u009b"}
    """
    if text.isascii():
        return text
    return "".join(map(_escaped, text))


def number(value: float | int | None, *, digits: int = 4) -> str:
    """*value* with *digits* significant digits and thousands parted; a dash for None.

    >>> number(12345.678), number(0.70312), number(None)
    ('12,346', '0.7031', '-')
    """
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def size(size_bytes: int) -> str:
    """A size in the unit that suits it: ``1.2 MB``."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    amount = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 1000 or unit == "GB":
            break
    return f"{amount:,.1f} {unit}"


def moment(value: datetime | None) -> str:
    """A moment in UTC to the second; a dash for None."""
    if value is None:
        return "-"
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _shown(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _escaped(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    encoded = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{encoded[at : at + 2].hex()}" for at in range(0, len(encoded), 2))
