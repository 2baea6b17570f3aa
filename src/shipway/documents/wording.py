"""Numbers, times and names as people read them, and Markdown that means what it says."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&^$]|:(?=//)|(?<=mailto):|(?<=xmpp):|@(?=[\w.-]+\.)")
_LEADING = re.compile(r"^(?:[-+](?=[-+\s]|$)|\d+[.)](?=\s|$))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def number(value: float | None) -> str | None:
    """*value* to four digits that count, thousands kept whole."""
    if value is None:
        return None
    if abs(value) >= 1000 and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def count(value: int | None) -> str | None:
    """A whole number with its thousands apart."""
    return None if value is None else f"{value:,}"


def size(bytes_: int) -> str:
    """A size in the unit that suits it."""
    if bytes_ < 1024:
        return f"{bytes_} bytes"
    if bytes_ < 1024 * 1024:
        return f"{bytes_ / 1024:.1f} KiB"
    return f"{bytes_ / (1024 * 1024):.1f} MiB"


def plural(amount: int, word: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{amount:,} {word}" + ("" if amount == 1 else "s")


def one_line(text: str) -> str:
    """*text* on one line, without what a terminal, an editor or a reader's eye could obey."""
    return _CONTROL.sub(" ", text).strip()


def markdown(text: str) -> str:
    """*text* escaped so that Markdown shows it as it is: no mark-up, links, HTML or cells.

    >>> markdown("<b>|x")
    '\\\\<b\\\\>\\\\|x'
    """
    line = _SPECIAL.sub(r"\\\g<0>", one_line(text))
    line = line.replace("www.", "www\\.")
    return _LEADING.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", line)


def markdown_code(text: str) -> str:
    """*text* as a block of code by indentation, which nothing in it can end."""
    kept = "".join(c for c in text if c == "\n" or not _CONTROL.match(c))
    return "\n".join(f"    {line}" for line in kept.split("\n"))
