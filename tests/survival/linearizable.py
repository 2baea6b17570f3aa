"""Whether a history of one endpoint could have happened one step at a time.

The search is the one of Wing and Gong (1993) with Lowe's memory of what was tried (2017): some
order of the operations, in which each lies between its call and its return, must explain every
answer. An operation without an answer, because its process was killed, may have happened at any
time since its call, or never.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

State = tuple[int, int]
"""The sequence of the endpoint, 0 for none, and the version that is live."""

BEGINNING: State = (0, 0)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One operation: a look, or a move to *live* if the sequence is *expected*.

    ``answer`` is the state that was seen or made, None for a conflict. Times are of one clock;
    ``returned`` is None where no answer came.
    """

    kind: str
    called: int
    returned: int | None = None
    expected: int = 0
    live: int = 0
    answer: State | None = None


def after(state: State, asked: Asked) -> State | None:
    """The state after *asked* took effect in *state*; None if its answer cannot be so."""
    if asked.kind == "look":
        return state if asked.answer == state else None
    sequence, live = state
    if sequence != asked.expected:
        return state if asked.returned is not None and asked.answer is None else None
    made = state if sequence and live == asked.live else (sequence + 1, asked.live)
    if asked.returned is None:
        return made if made != state else None  # without effect it is as if it never happened
    return made if asked.answer == made else None


@dataclass(slots=True)
class _Entry:
    """A call or a return in the list of what is not explained yet."""

    at: int
    index: int
    match: _Entry | None = None  # of a call that was answered, its return
    call: bool = False
    before: _Entry | None = None
    next: _Entry | None = None


def linearizable(history: Sequence[Asked], beginning: State = BEGINNING) -> bool:
    """Whether *history* has an order that explains it."""
    head = _entries(history)
    left = sum(asked.returned is not None for asked in history)
    state, done = beginning, 0
    tried: set[tuple[int, State]] = set()
    taken: list[tuple[_Entry, State]] = []
    entry = head.next
    while left:
        if entry is not None and entry.call:
            made = after(state, history[entry.index])
            position = (done | 1 << entry.index, made)
            if made is not None and position not in tried:
                tried.add((done | 1 << entry.index, made))
                taken.append((entry, state))
                state, done = made, done | 1 << entry.index
                left -= entry.match is not None
                _lift(entry)
                entry = head.next
            else:
                entry = entry.next
        elif taken:
            entry, state = taken.pop()
            done ^= 1 << entry.index
            left += entry.match is not None
            _put_back(entry)
            entry = entry.next
        else:
            return False
    return True


def _entries(history: Sequence[Asked]) -> _Entry:
    """The calls and returns in the order of their times, calls first, behind an empty head."""
    found: list[_Entry] = []
    for index, asked in enumerate(history):
        call = _Entry(asked.called, index, call=True)
        found.append(call)
        if asked.returned is not None:
            call.match = _Entry(asked.returned, index)
            found.append(call.match)
    found.sort(key=lambda entry: (entry.at, not entry.call))
    head = _Entry(-1, -1)
    last = head
    for entry in found:
        last.next, entry.before = entry, last
        last = entry
    return head


def _lift(call: _Entry) -> None:
    for entry in (call, call.match):
        if entry is not None:
            assert entry.before is not None
            entry.before.next = entry.next
            if entry.next is not None:
                entry.next.before = entry.before


def _put_back(call: _Entry) -> None:
    for entry in (call.match, call):
        if entry is not None:
            assert entry.before is not None
            entry.before.next = entry
            if entry.next is not None:
                entry.next.before = entry
