"""One value against one declaration: its type, its limits, and words for what is wrong."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

import msgspec

from shipway.config.draft import Draft
from shipway.config.schema import Entry
from shipway.config.secrets import SECRETS


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question about the known word that is nearest to *word*; empty when none is near."""
    candidates = list(known)
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if not near:
        near = [name for name in candidates if len(word) > 3 and word.lower() in name][:1]
    return f"did you mean {near[0]}?" if near else ""


REFUSED = object()
"""Stands for a value that was complained of."""


def accept(entry: Entry, raw: Any, where: str, draft: Draft) -> Any:
    """The checked value of *raw*, or ``REFUSED`` after a complaint."""
    try:
        msgspec.convert(raw, entry.plain)
    except msgspec.ValidationError:
        hint = f"allowed is {entry.allowed}"
        told = "what it is" if entry.name in SECRETS else noun(raw)
        message = f"{entry.name} must be {_article(entry.kind)}, not {told}"
        draft.complain("wrong-type", message, where, hint)
        return REFUSED
    try:
        value = msgspec.convert(raw, entry.limited)
        finite = not isinstance(value, float) or math.isfinite(value)
    except msgspec.ValidationError:
        finite = False
    if finite:
        return value
    guess = did_you_mean(str(raw), entry.choices)
    hint = f"{guess} Allowed is {entry.allowed}" if guess else f"allowed is {entry.allowed}"
    told = "no such address" if entry.name in SECRETS else _shown(raw)
    draft.complain("not-allowed", f"{entry.name} is {told}", where, hint)
    return REFUSED


def parse_text(entry: Entry, text: str) -> Any:
    """*text* from a variable or a flag as a value of the setting's kind, where it is one.

    Lists are parted by commas. Text that is not of the kind is returned as it is, for
    ``accept`` to complain of.
    """
    if entry.plain in (int, float, bool):
        try:
            return msgspec.convert(text.strip(), entry.plain, strict=False)
        except msgspec.ValidationError:
            return text
    if entry.choices:
        return text.strip()
    if entry.plain is not str:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _article(kind: str) -> str:
    return kind if kind in {"text", "true or false"} else f"a {kind}"


def _shown(raw: Any) -> str:
    text = str(raw).lower() if isinstance(raw, bool) else repr(raw)
    return text if len(text) <= 60 else f"{text[:57]}..."


def noun(raw: Any) -> str:
    """What *raw* is, for people, with its value where that is short."""
    match raw:
        case bool():
            return f"true or false ({_shown(raw)})"
        case str():
            return f"text ({_shown(raw)})"
        case int() | float():
            return f"a number ({raw})"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"a date or time ({raw})"
