"""The lane of one version: what waits for it, and how much of that the next call takes.

A queue that cannot be emptied in time only makes everybody late. It is therefore bounded in rows
and, where the model's pace is known, in time: who would wait longer than ``queue_s``, than the
objective for the 99th percentile, or than the own deadline, is refused at once and told when to
come again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import ceil
from typing import Protocol

import msgspec

from shipway.errors import DeadlineExceeded, Overloaded, ShipwayError
from shipway.inference.predictor import Outcome, Pace, Predictor, Request
from shipway.serving.counters import CounterFile
from shipway.serving.figures import Figures

INLINE_S = 0.002
"""A call that is expected to take longer does not run on the loop."""

_CALL_S = 0.25
_FEW_ROWS = 1024
_ALL = float("inf")
_LONGEST_RETRY_S = 30


class Place(Protocol):
    """Where the outcome of one request goes; used on the loop's thread alone.

    ``received`` and ``deadline`` are in the loop's seconds.
    """

    caller: str
    received: float
    received_at_ns: int
    deadline: float

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the outcome any more."""

    def settle(self, outcome: Outcome) -> None:
        """Answer with *outcome*; called once."""


class Waiting(msgspec.Struct, gc=False):
    """A request that waits for its call of the model."""

    place: Place
    request: Request
    rows: int


class Batch(msgspec.Struct):
    """What one call of the model is given, and who was too late for it."""

    due: list[Waiting]
    late: list[Waiting]
    rows: int


TurnedAway = tuple[Request, ShipwayError, int]


class Lane:
    """What waits for *predictor*. ``busy`` while a thread runs its model.

    ``pace`` begins with that of the warm-up, which may have been disturbed, and is learned on.
    """

    def __init__(
        self,
        predictor: Predictor,
        counters: CounterFile,
        clock: Callable[[], float],
        *,
        queue_rows: int,
        queue_s: float,
    ) -> None:
        self.predictor = predictor
        self.figures = Figures(counters, predictor.served)
        self.turned_away: list[TurnedAway] = []
        self.busy = False
        self._clock = clock
        self._queue_rows = queue_rows
        self._few = self._most = 0.0
        target = predictor.served.latency_p99_s
        self._queue_s = queue_s if target is None else min(queue_s, target)
        self._call_s = _CALL_S if target is None else target / 2
        self._waiting: deque[Waiting] = deque()
        self._rows = 0
        self._swept = 0.0
        self.learn(predictor.pace)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not (self.busy or self._waiting or self.turned_away)

    def learn(self, pace: Pace) -> None:
        """Go by *pace* from now on."""
        self.pace = pace
        # So many rows are answered so soon that no bound needs to be looked at.
        soon = INLINE_S * pace.rows_per_s if pace.one_row_s < INLINE_S else 0.0
        self._few = min(soon, self._queue_rows, _FEW_ROWS)
        # A fast model answers a crowd in slices on the loop, a slow one in a thread all at once.
        fast = pace.one_row_s < INLINE_S / 4 and not self.predictor.may_stall
        self._most = max(1.0, pace.rows_per_s * (INLINE_S if fast else self._call_s) or _ALL)

    def add(self, one: Waiting) -> None:
        """Let *one* wait; raises Overloaded if it would wait for too long or find no room.

        A request larger than the whole queue is taken when it is alone.
        """
        waiting = self._waiting
        if not self.busy and self._rows + one.rows <= self._few:
            waiting.append(one)
            self._rows += one.rows
            return
        if waiting and self._is_full(one):
            self._sweep()
        if (waiting or self.busy) and (error := self._refusal(one)) is not None:
            request = one.request
            empty = Request(request.id, {}, request.caller, request.received_at_ns)
            self.turned_away.append((empty, error, one.rows))
            raise error
        waiting.append(one)
        self._rows += one.rows

    def take(self) -> Batch:
        """The next batch: as many rows as fit a call, at least one request that is still due."""
        now = self._clock()
        batch = Batch([], [], 0)
        most, waiting = self._most, self._waiting
        while waiting:
            one = waiting[0]
            if one.place.abandoned:
                self._rows -= waiting.popleft().rows
                continue
            if now >= one.place.deadline:
                batch.late.append(one)
            elif batch.due and batch.rows + one.rows > most:
                break
            else:
                batch.due.append(one)
                batch.rows += one.rows
            self._rows -= waiting.popleft().rows
        return batch

    def runs_inline(self, batch: Batch) -> bool:
        """Whether *batch* is done so soon that handing it to a thread would cost more."""
        return not self.predictor.may_stall and self.pace.seconds(batch.rows) <= INLINE_S

    def _is_full(self, one: Waiting) -> bool:
        return self._rows + one.rows > self._queue_rows or self._wait_s() > self._queue_s

    def _wait_s(self) -> float:
        return self.pace.seconds(self._rows) if self._rows else 0.0

    def _refusal(self, one: Waiting) -> Overloaded | None:
        wait_s = self._wait_s()
        if self._waiting and self._rows + one.rows > self._queue_rows:
            step = "raise serve.queue_rows"
        elif wait_s > self._queue_s:
            step = "raise serve.queue_s"
        elif 0 < one.place.deadline - self._clock() < wait_s:
            step = "allow the request more time"
        else:
            return None
        return Overloaded(
            f"{self._rows} rows wait for the model already, about {wait_s:.2g} s of work",
            next_step=f"try again after Retry-After seconds, or {step}",
            retry_after_s=min(_LONGEST_RETRY_S, max(1, ceil(wait_s))),
        )

    def _sweep(self) -> None:
        """Give the places of clients that have left to others, a hundred times a second at most."""
        now = self._clock()
        if now - self._swept < 0.01:
            return
        self._swept = now
        kept = [one for one in self._waiting if not one.place.abandoned]
        self._waiting = deque(kept)
        self._rows = sum(one.rows for one in kept)


def late() -> DeadlineExceeded:
    """The error of a request whose time was over before the model could begin."""
    return DeadlineExceeded(
        "the time for this request was over before the model could begin",
        next_step="send smaller requests, or raise serve.request_timeout_s",
    )
