"""Patterns of text that Python, polars and JSON Schema read alike, and that take no long time.

A pattern is a row of items: a character, ``\\`` before one, or a class like ``[A-Z0-9_]``, each
once or as often as ``?``, ``{n}``, ``{m,n}``, ``+`` or ``*`` say. It holds for the whole text. An
item that may end early must be followed by one that cannot go on with the same character, so that
there is one way to read a text: matching is linear in its length, whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from shipway.errors import UsageError

MAX_LENGTH = 200
_MAX_REPEATS = 1000
_ITEM = re.compile(
    r"(?P<set>\[(?:[^\]\\^]|\\.)+\])|\\(?P<escaped>[^A-Za-z0-9])|(?P<plain>[^][\\(){}*+?.|^$])",
    re.DOTALL,
)
_TIMES = re.compile(r"\{(?P<least>\d{1,4})(?P<comma>,(?P<most>\d{1,4}))?\}|(?P<sign>[?+*])")
_IN_SET = re.compile(r"(\\.|[^\\])(?:-(\\.|[^\\\-]))?", re.DOTALL)
_SIGNS_OUTSIDE, _SIGNS_WITHIN = "^$\\.*+?()[]{}|", "\\[]^-"
_SIGNS: dict[str, tuple[int, int | None]] = {"?": (0, 1), "+": (1, None), "*": (0, None)}


@dataclass(frozen=True, slots=True)
class _Item:
    """Code points in one of ``spans``, at least ``least`` times, ``most`` if that is known."""

    spans: tuple[tuple[int, int], ...]
    least: int
    most: int | None

    def meets(self, other: _Item) -> bool:
        """Whether a character is in both."""
        return any(a <= d and c <= b for a, b in self.spans for c, d in other.spans)


def regex_of(pattern: str) -> str:
    """*pattern* as a regular expression for the whole text, the same for all who read it.

    Raises :class:`~shipway.errors.UsageError` for what is no such pattern.

    >>> regex_of("[A-Z]{3}-[0-9]+")
    '^[A-Z]{3}-[0-9]+$'
    """
    if not pattern or len(pattern) > MAX_LENGTH:
        raise _refused(pattern, f"it must have from 1 to {MAX_LENGTH} characters")
    items = list(_items(pattern))
    for place, (item, _) in enumerate(items):
        if item.least != item.most and any(item.meets(one) for one in _followers(items, place)):
            raise _refused(
                pattern,
                "what may be repeated more or less often is followed by what may begin alike",
            )
    return f"^{''.join(text for _, text in items)}$"


def matcher(pattern: str) -> re.Pattern[str]:
    """*pattern* made ready; a text keeps it if ``fullmatch`` finds something."""
    return re.compile(regex_of(pattern)[1:-1])


def inferred(texts: Iterable[str]) -> str:
    """A pattern that all of *texts* keep, read from their runs of digits and letters; "" if none.

    >>> inferred(["N101-A", "N7742-C"])
    'N[0-9]{3,4}-[A-C]'
    """
    shapes = [_shape(text) for text in texts]
    if not shapes or len({tuple(kind for kind, _ in shape) for shape in shapes}) != 1:
        return ""
    parts = []
    for runs in zip(*shapes, strict=True):
        kind, found = runs[0][0], [run for _, run in runs]
        parts.append(_run(kind, found))
    pattern = "".join(parts)
    try:
        regex_of(pattern)
    except UsageError:
        return ""
    return pattern


def _items(pattern: str) -> Iterator[tuple[_Item, str]]:
    place = 0
    while place < len(pattern):
        found = _ITEM.match(pattern, place)
        if found is None:
            raise _refused(pattern, f"{pattern[place]!r} at place {place} means nothing here")
        place = found.end()
        if found["set"]:
            spans = _united(_spans(pattern, found["set"]))
        else:
            code = ord(found["escaped"] or found["plain"])
            spans = ((code, code),)
        text = _class_text(spans)
        times = _TIMES.match(pattern, place)
        least: int = 1
        most: int | None = 1
        if times is not None:
            place = times.end()
            text += times.group()
            least, most = _repeats(pattern, times)
        yield _Item(spans, least, most), text


def _repeats(pattern: str, times: re.Match[str]) -> tuple[int, int | None]:
    if times["sign"]:
        return _SIGNS[times["sign"]]
    least = int(times["least"])
    most = int(times["most"]) if times["comma"] else least
    if not least <= most <= _MAX_REPEATS:
        raise _refused(pattern, f"{times.group()} is not from 0 to {_MAX_REPEATS} times, in order")
    return least, most


def _spans(pattern: str, text: str) -> Iterator[tuple[int, int]]:
    inner = text[1:-1]
    if inner.startswith("-") or inner.endswith("-"):
        raise _refused(pattern, "a '-' at the edge of [...] needs a \\ before it")
    for low, high in _IN_SET.findall(inner):
        first = ord(low[-1])
        last = ord(high[-1]) if high else first
        if first > last:
            raise _refused(pattern, f"the range {low}-{high} runs backwards")
        yield first, last


def _class_text(spans: tuple[tuple[int, int], ...]) -> str:
    """A class that no reader takes for more: in order, nothing twice, few signs with a \\."""
    if len(spans) == 1 and spans[0][0] == spans[0][1]:
        return _escaped(spans[0][0], _SIGNS_OUTSIDE)
    inner = "".join(
        _escaped(low, _SIGNS_WITHIN)
        if low == high
        else f"{_escaped(low, _SIGNS_WITHIN)}-{_escaped(high, _SIGNS_WITHIN)}"
        for low, high in spans
    )
    return f"[{inner}]"


def _escaped(code: int, signs: str) -> str:
    return f"\\{chr(code)}" if chr(code) in signs else chr(code)


def _united(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    united: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if united and low <= united[-1][1] + 1:
            united[-1] = (united[-1][0], max(high, united[-1][1]))
        else:
            united.append((low, high))
    return tuple(united)


def _followers(items: list[tuple[_Item, str]], place: int) -> Iterator[_Item]:
    """What can come right after the item at *place*: the next ones, up to one that must come."""
    for item, _ in items[place + 1 :]:
        yield item
        if item.least:
            return


def _shape(text: str) -> list[tuple[str, str]]:
    """The runs of digits, of capital and of small letters in *text*, and each other character."""
    kinds = [_kind(character) for character in text]
    runs: list[tuple[str, str]] = []
    start = 0
    for place, (one, other) in enumerate(pairwise([*kinds, None]), start=1):
        if one != other or one not in ("0-9", "A-Z", "a-z"):
            runs.append((str(one), text[start:place]))
            start = place
    return runs


def _kind(character: str) -> str:
    for low, high in ("09", "AZ", "az"):
        if low <= character <= high:
            return f"{low}-{high}"
    return character


def _run(kind: str, found: list[str]) -> str:
    if kind not in ("0-9", "A-Z", "a-z"):
        return _escaped(ord(kind), _SIGNS_OUTSIDE)
    if len(set(found)) == 1:
        return found[0]
    lengths = sorted({len(one) for one in found})
    letters = set("".join(found))
    span = kind if len(letters) > 3 else f"{min(letters)}-{max(letters)}"
    if lengths == [1]:
        return f"[{span}]"
    many = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]},{lengths[-1]}"
    return f"[{span}]{{{many}}}"


def _refused(pattern: str, why: str) -> UsageError:
    return UsageError(
        f"{pattern!r} is no pattern that every reader understands alike: {why}",
        next_step="write characters and classes like [A-Z0-9], each with ?, {n}, {m,n}, + or *,"
        " and \\ before a sign",
    )
