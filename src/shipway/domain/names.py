"""Names that are safe as a file name, a URL segment and a label, and ids that never repeat."""

from __future__ import annotations

import os
import re
import time

from shipway.errors import NameNotAllowed

_ALLOWED = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}", re.ASCII)
_VARIANT = {digit: "89ab"[value % 4] for value, digit in enumerate("0123456789abcdef")}
_ROWS = tuple(map(str, range(256)))
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"}
    | {f"com{digit}" for digit in range(10)}
    | {f"lpt{digit}" for digit in range(10)}
)


def check_name(name: str, *, what: str = "name") -> str:
    """Return *name* unchanged if it may name a model, an endpoint or a slice.

    Allowed is ``^[a-z0-9][a-z0-9._-]{0,127}$`` without a trailing dot and without the device
    names of Windows, so that one name means one thing on every file system.

    >>> check_name("flight-delay")
    'flight-delay'
    """
    stem = name.split(".", 1)[0]
    if _ALLOWED.fullmatch(name) and stem not in _DEVICES and not name.endswith("."):
        return name
    article = "an" if what.startswith(("a", "e", "i", "o", "u")) else "a"
    raise NameNotAllowed(
        f"{name!r} cannot be {article} {what}",
        next_step="use 1 to 128 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
        f"{suggestion(name)}",
    )


def is_device(name: str) -> bool:
    """Whether Windows takes a file called *name* for a device, whatever its extension.

    >>> is_device("AUX.txt"), is_device("auxiliary.txt")
    (True, False)
    """
    return name.split(".", 1)[0].rstrip(" ").lower() in _DEVICES


def suggestion(name: str) -> str:
    """A ``": try 'x'"`` ending with the nearest allowed name, or nothing if none is near."""
    candidate = allowed_name(name)
    return f": try {candidate!r}" if candidate else ""


def allowed_name(name: str) -> str:
    """The allowed name that is nearest to *name*, or "" if none is near.

    >>> allowed_name("Flight Delay!")
    'flight-delay'
    """
    candidate = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")[:128].rstrip(".")
    usable = _ALLOWED.fullmatch(candidate) and candidate.split(".", 1)[0] not in _DEVICES
    return candidate if usable else ""


def new_id() -> str:
    """A fresh id of 32 hex digits that sorts by time of creation (UUID version 7, RFC 9562)."""
    return _id(os.urandom(10).hex(), 0)


class Ids:
    """Fresh ids like those of :func:`new_id`, whose random bytes are drawn by the thousand.

    Make one in the process that uses it: a fork of it would give the same ids again.
    """

    __slots__ = ("_at", "_random")

    def __init__(self) -> None:
        self._random = ""
        self._at = 0

    def new(self) -> str:
        """The next id."""
        at = self._at
        if at + 20 > len(self._random):
            self._random, at = os.urandom(4000).hex(), 0
        self._at = at + 20
        return _id(self._random, at)


def _id(random: str, at: int) -> str:
    milliseconds = time.time_ns() // 1_000_000
    variant = _VARIANT[random[at + 3]]
    return f"{milliseconds:012x}7{random[at : at + 3]}{variant}{random[at + 4 : at + 19]}"


def prediction_ids(request_id: str, rows: int) -> list[str]:
    """The ids under which the *rows* rows of the request *request_id* are labelled later.

    >>> prediction_ids("booking-4711", 2)
    ['booking-4711:0', 'booking-4711:1']
    """
    start = f"{request_id}:"
    if rows <= len(_ROWS):
        return [start + row for row in _ROWS[:rows]]
    return [f"{start}{row}" for row in range(rows)]
