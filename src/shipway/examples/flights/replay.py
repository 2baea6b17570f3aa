"""The year goes by: flights asked about hour by hour over HTTP, truths told a day later.

A thread plays the passengers' app. It may run ahead to the moment that :meth:`Replay.release`
names and then waits, so that the story can look at a finished week while the next is under way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPException

import msgspec
import polars as pl

from shipway.domain.progress import Task
from shipway.domain.times import iso
from shipway.errors import ServerUnreachable
from shipway.examples.flights.asking import Asked, Line, requests_of

LABEL_DELAY = timedelta(days=1)
_LABELS_A_POST = 2_000
_STANDSTILL_S = 120.0


@dataclass(slots=True)
class Tally:
    """What happened so far; read by the story, written by the replay alone."""

    requests: int = 0
    predictions: int = 0
    failed_requests: int = 0
    labels: int = 0
    by_version: dict[str, int] = field(default_factory=dict)
    first_failure: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """Where predictions and labels go, and the key that opens both."""

    url: str
    control_url: str
    model: str
    key: str


class Replay(threading.Thread):
    """Sends *rows* (in order of time) to *server*, at most *most_rows* of an hour in a request.

    A flight's truth is sent when the simulated time is a day past its scheduled departure.
    """

    def __init__(self, server: Server, rows: pl.DataFrame, task: Task, *, most_rows: int) -> None:
        super().__init__(name="replay", daemon=True)
        self.tally = Tally()
        self._server = server
        self._rows = rows
        self._task = task
        self._most_rows = most_rows
        self._turn = threading.Condition()
        self._until: datetime | None = None
        self._now: datetime | None = None
        self._error: BaseException | None = None
        self._stopped = False
        self._pause_s = 0.0
        self._waiting: deque[tuple[datetime, str, int]] = deque()

    def release(self, until: datetime) -> None:
        """Let the replay go on to the simulated time *until*."""
        with self._turn:
            self._until = until
            self._turn.notify_all()

    def wait_for(self, moment: datetime) -> None:
        """Return when the simulated time has reached *moment*, or the replay has ended."""
        self._wait(lambda: self._now is not None and self._now >= moment)

    def wait_for_requests(self, more: int) -> None:
        """Return when *more* further requests were answered, or the replay has ended."""
        goal = self.tally.requests + more
        self._wait(lambda: self.tally.requests >= goal)

    @contextmanager
    def slowly(self, pause_s: float) -> Iterator[None]:
        """Within the block, rest *pause_s* between requests: a steady stream, whatever happens."""
        self._pause_s = pause_s
        try:
            yield
        finally:
            self._pause_s = 0.0

    def stop(self) -> None:
        """End the replay before its time."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()

    def run(self) -> None:
        """Play the whole year; an error ends it and reaches whoever waits."""
        try:
            headers = {
                "Authorization": f"Bearer {self._server.key}",
                "Content-Type": "application/json",
            }
            with (
                Line(self._server.url, headers) as predictions,
                Line(self._server.control_url, headers) as labels,
            ):
                self._play(predictions, labels)
        except (HTTPException, OSError, msgspec.DecodeError, ServerUnreachable) as error:
            self._error = error
        finally:
            self.stop()

    def _play(self, predictions: Line, labels: Line) -> None:
        for asked in requests_of(self._rows, self._most_rows):
            hour = asked.hour
            if hour != self._now:
                if not self._may_go_on(hour):
                    return
                if self._now is not None and hour.date() != self._now.date():
                    self._tell_truths(labels, before=hour - LABEL_DELAY)
                self._reach(hour)
            self._ask(predictions, asked)
            if self._pause_s:
                time.sleep(self._pause_s)
        self._tell_truths(labels, before=None)

    def _may_go_on(self, hour: datetime) -> bool:
        with self._turn:
            self._turn.wait_for(
                lambda: self._stopped or (self._until is not None and hour < self._until)
            )
            return not self._stopped

    def _reach(self, hour: datetime) -> None:
        with self._turn:
            self._now = hour
            self._turn.notify_all()

    def _ask(self, line: Line, asked: Asked) -> None:
        try:
            status, content = line.post(f"/v2/models/{self._server.model}/infer", asked.body)
        except (HTTPException, OSError) as error:
            self._count_failure(f"{type(error).__name__}: {error}")
            return
        if status != 200:
            self._count_failure(f"{status}: {content[:300]!r}")
            return
        answer = msgspec.json.decode(content)
        ids = next(out["data"] for out in answer["outputs"] if out["name"] == "prediction_id")
        self._waiting.extend(
            (moment, prediction, truth)
            for moment, prediction, truth in zip(asked.moments, ids, asked.truths, strict=True)
            if truth is not None
        )
        version = str(answer["model_version"])
        with self._turn:
            self.tally.requests += 1
            self.tally.predictions += len(ids)
            self.tally.by_version[version] = self.tally.by_version.get(version, 0) + len(ids)
            self._turn.notify_all()
        self._task.advance(len(ids))

    def _count_failure(self, what: str) -> None:
        with self._turn:
            self.tally.requests += 1
            self.tally.failed_requests += 1
            self.tally.first_failure = self.tally.first_failure or what
            self._turn.notify_all()

    def _tell_truths(self, line: Line, *, before: datetime | None) -> None:
        """Send what became of the flights scheduled *before*, or of all that are left."""
        due: list[dict[str, str | int]] = []
        while self._waiting and (before is None or self._waiting[0][0] < before):
            moment, prediction, truth = self._waiting.popleft()
            observed = iso(moment + LABEL_DELAY)
            due.append({"prediction_id": prediction, "value": truth, "observed_at": observed})
        for start in range(0, len(due), _LABELS_A_POST):
            batch = due[start : start + _LABELS_A_POST]
            status, content = line.post("/v1/labels", msgspec.json.encode({"labels": batch}))
            if status >= 400:
                raise ServerUnreachable(
                    f"labels were answered with {status}: {content[:300]!r}",
                    next_step="look at server.log in the folder of the demo",
                )
            self.tally.labels += len(batch)

    def _wait(self, reached: Callable[[], bool]) -> None:
        """Wait until *reached*; an error of the replay, or a standstill, is raised here."""
        with self._turn:
            moved = self._turn.wait_for(lambda: self._stopped or reached(), _STANDSTILL_S)
        self.reraise()
        if not moved:
            raise ServerUnreachable(
                f"the replay stands still at {self._now} after {self.tally.requests} requests",
                next_step="look at server.log in the folder of the demo",
            )

    def reraise(self) -> None:
        """Raise what ended the replay, if something did."""
        if self._error is not None:
            raise self._error
