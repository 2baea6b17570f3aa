"""From the text of shipway.toml to its values and their lines, past syntax errors where it can.

``tomllib`` stops at the first error. A person would rather hear of all mistakes at once, so the
line that it stopped at is reported, blanked out, and the rest is read again. What stood on such
a line is remembered as ``damaged``, so that nobody complains that it is missing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shipway.config.positions import Path, find_positions
from shipway.errors import Problem

_MOST_ERRORS = 50
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_-]+)?")
_PAIR = re.compile(r"\s*([A-Za-z0-9_-]+)\s*(=?)\s*(.*)")
_UNUSABLE = "shipway-unreadable-table"
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./:\\ -]*")
_LONG_QUOTES = ('"""', "'''")
_BRACKETS = (("[", "]"), ("{", "}"))
_OPENING = frozenset("[{\"'")
_HINTS = (
    ("Expected '='", "write: key = value"),
    ("Cannot overwrite a value", "a key stands once in a table"),
    ("Cannot declare", "a table stands once; write [[objectives]] for each objective"),
    ("Expected ']'", "close the name of the table, as in [model] or [[objectives]]"),
    ("Unclosed array", "close the list with ]"),
    ("Unclosed inline table", "close the table with } on the same line"),
    ("Unterminated string", "close the text with the quote that it began with"),
    ('Expected "\'"', "close the text with the quote that it began with"),
    ("Illegal character", "close the text with the quote that it began with"),
    ("Expected newline or end of document", "one setting a line; a comment begins with #"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """What could be read. With ``complete`` false the rest of the text is unknown.

    ``damaged`` holds the paths of the keys (and, for a list of tables, the section) whose
    lines could not be read.
    """

    values: Mapping[str, Any]
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...] = ()
    damaged: frozenset[tuple[str, str]] = frozenset()
    complete: bool = True


def read_document(text: str, *, source: str) -> Document:
    """Read *text*; *source* is the name of the file in the places of the problems."""
    lines = text.replace("\r\n", "\n").split("\n")
    problems: list[Problem] = []
    damaged: set[tuple[str, str]] = set()
    while True:
        try:
            values = tomllib.loads("\n".join(lines))
        except tomllib.TOMLDecodeError as error:
            number, reason = _place(str(error), lines)
            number = _beginning(number, lines)
            problems.append(_problem(reason, number, lines[number - 1], source))
            section = _section_of(number, lines)
            found = _blank(number, reason, section, lines)
            if found is None or len(problems) >= _MOST_ERRORS:
                return Document({}, {}, tuple(problems), complete=False)
            damaged |= found
        except RecursionError:
            problems.append(Problem("config.syntax", "brackets are nested too deeply", source))
            return Document({}, {}, tuple(problems), complete=False)
        else:
            places = find_positions("\n".join(lines))
            usable = {key: value for key, value in values.items() if _UNUSABLE not in key}
            return Document(usable, places, tuple(problems), frozenset(damaged))


def _place(message: str, lines: list[str]) -> tuple[int, str]:
    """The line (from 1) that *message* speaks of, and the message without its place."""
    found = _PLACE.search(message)
    reason = message[: found.start()] if found else message
    if found and found.group(1):
        return min(int(found.group(1)), len(lines)), reason
    written = [number for number, line in enumerate(lines, start=1) if line.strip()]
    return (written[-1] if written else 1), reason


def _beginning(number: int, lines: list[str]) -> int:
    """Where the statement begins that is still open on line *number*, or *number* itself."""
    for candidate in range(number, 0, -1):
        pair = _PAIR.match(lines[candidate - 1])
        if pair is None or not pair.group(2):
            continue
        value = "\n".join([pair.group(3), *lines[candidate : number - 1]])
        if any(value.startswith(quotes) and value.count(quotes) % 2 for quotes in _LONG_QUOTES):
            return candidate
        if any(value.startswith(o) and value.count(o) > value.count(c) for o, c in _BRACKETS):
            return candidate
    return number


def _end(number: int, lines: list[str]) -> int:
    """The last line (from 1) that can belong to the statement begun on line *number*."""
    for follower in range(number, len(lines)):
        line = lines[follower]
        pair = _PAIR.match(line)
        if not line.strip() or (pair and pair.group(2)) or _HEADER.match(line):
            return follower
    return len(lines)


def _problem(reason: str, number: int, line: str, source: str) -> Problem:
    hint = next((text for start, text in _HINTS if reason.startswith(start)), "")
    pair = _PAIR.match(line)
    if reason.startswith("Invalid value") and pair:
        value = pair.group(3).split("#")[0].strip()
        if not value:
            hint = "write the value after ="
        elif value.startswith("[") and value.count("[") > value.count("]"):
            hint = "close the list with ]"
        elif value.lower() in {"true", "false", "yes", "no", "on", "off"}:
            hint = "write true or false, in small letters"
        elif value.startswith("."):
            hint = f"a number begins with a digit: 0{value}"
        elif _WORD.fullmatch(value):
            hint = f'text stands in quotes: {pair.group(1)} = "{value}"'
    elif reason.startswith("Cannot overwrite a value") and pair:
        reason = f"{pair.group(1)} stands here a second time"
    readable = reason[:1].lower() + reason[1:]
    return Problem("config.syntax", f"not TOML: {readable}", f"{source}:{number}", hint)


def _section_of(number: int, lines: list[str]) -> str:
    """The table under whose header line *number* stands; empty above the first."""
    for line in reversed(lines[: number - 1]):
        header = _HEADER.match(line)
        if header and header.group(2):
            return header.group(2)
    return ""


def _blank(number: int, reason: str, section: str, lines: list[str]) -> set[tuple[str, str]] | None:
    """Take line *number* out of the way; returns what it would have set, None to give up."""
    line = lines[number - 1]
    header = _HEADER.match(line)
    if header:
        name = header.group(2) or ""
        opening = header.group(1)
        if name and reason.startswith("Expected ']"):
            lines[number - 1] = f"{opening}{name}{']' * len(opening)}"
            return set()
        lines[number - 1] = f"[{_UNUSABLE}-{number}]"
        return {(name, "")} if not reason.startswith("Cannot declare") else set()
    if not line.strip():
        return None
    pair = _PAIR.match(line)
    end = _end(number, lines) if pair and pair.group(3)[:1] in _OPENING else number
    lines[number - 1 : end] = [""] * (end - number + 1)
    if pair is None or reason.startswith("Cannot overwrite"):
        return set()
    return {(section, pair.group(1))}
