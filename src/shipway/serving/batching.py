"""Drain batching: what arrives in one turn of the loop is one call of the model.

Nobody waits for a batch window, and a lone request pays nothing. The queue is bounded in rows;
what finds no place is refused at once, and what is past its deadline or whose client has left is
never given to the model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol
from weakref import WeakKeyDictionary

from shipway.errors import DeadlineExceeded, ModelError, Overloaded, PredictionFailed, ShipwayError
from shipway.inference.predictor import Answer, Outcome, Predictor, Request
from shipway.serving.counters import Counter, CounterFile
from shipway.serving.protocols.decoded import Decoded
from shipway.serving.statuses import http_status

_log = logging.getLogger(__name__)


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


@dataclass(slots=True)
class _Waiting:
    place: Place
    request: Request
    rows: int


@dataclass(slots=True)
class _Group:
    """What waits for one predictor, and what was turned away from it in the same turn."""

    waiting: list[_Waiting] = field(default_factory=list)
    turned_away: list[tuple[Request, ShipwayError, int]] = field(default_factory=list)


class Batcher:
    """Gathers inference requests until the loop has read what there is, then answers them all."""

    def __init__(
        self,
        *,
        queue_rows: int,
        counters: CounterFile,
        clock: Callable[[], float],
    ) -> None:
        self._limit = queue_rows
        self._clock = clock
        self._counters = counters
        self._figures: WeakKeyDictionary[Predictor, _Figures] = WeakKeyDictionary()
        self._groups: dict[Predictor, _Group] = {}
        self._rows = 0

    def add(self, place: Place, decoded: Decoded, predictor: Predictor) -> None:
        """Let *decoded* wait for the model; raises Overloaded if the queue is full.

        A request larger than the whole queue is taken when it is alone.
        """
        request = Request(decoded.id, decoded.columns, place.caller, place.received_at_ns)
        group = self._group(predictor)
        if self._rows and self._rows + decoded.rows > self._limit:
            error = self._overloaded()
            empty = Request(request.id, {}, request.caller, request.received_at_ns)
            group.turned_away.append((empty, error, decoded.rows))
            raise error
        self._rows += decoded.rows
        group.waiting.append(_Waiting(place, request, decoded.rows))

    def _group(self, predictor: Predictor) -> _Group:
        if not self._groups:
            asyncio.get_running_loop().call_soon(self._drain)
        group = self._groups.get(predictor)
        if group is None:
            group = self._groups[predictor] = _Group()
        return group

    def _drain(self) -> None:
        groups, self._groups, self._rows = self._groups, {}, 0
        for predictor, group in groups.items():
            figures = self._figures.get(predictor)
            if figures is None:
                figures = self._figures[predictor] = _Figures(self._counters, predictor)
            self._answer(predictor, group, figures)

    def _answer(self, predictor: Predictor, group: _Group, figures: _Figures) -> None:
        now = self._clock()
        due: list[_Waiting] = []
        late: list[_Waiting] = []
        for one in group.waiting:
            if one.place.abandoned:
                continue
            (due if now < one.place.deadline else late).append(one)
        turned_away = [
            *group.turned_away,
            *((one.request, _late(), one.rows) for one in late),
        ]
        began = perf_counter()
        outcomes = self._outcomes(predictor, due)
        _log_fault(predictor, outcomes)
        if due:
            figures.count_batch(sum(one.rows for one in due), perf_counter() - began)
        if turned_away:
            self._record(predictor, turned_away, figures)
        for one in late:
            one.place.settle(_late())
        now = self._clock()
        for one, outcome in zip(due, outcomes, strict=True):
            figures.count(outcome, one.rows, now - one.place.received)
            one.place.settle(outcome)

    def _outcomes(self, predictor: Predictor, due: list[_Waiting]) -> list[Outcome]:
        """One outcome each, whatever happens: no request may be left without an answer."""
        if not due:
            return []
        try:
            return predictor.predict([one.request for one in due])
        except ShipwayError as error:
            return [error] * len(due)
        except Exception:  # an outermost loop: a fault of ours must not end the worker
            _log.exception("predicting failed", extra={"version": predictor.served.ref})
            failed = PredictionFailed(
                "the server failed to predict", next_step="look at the server's log"
            )
            return [failed] * len(due)

    def _record(
        self,
        predictor: Predictor,
        turned_away: list[tuple[Request, ShipwayError, int]],
        figures: _Figures,
    ) -> None:
        requests, errors, rows = zip(*turned_away, strict=True)
        for error in errors:
            figures.count(error, 0, 0.0)
        try:
            predictor.record_refused(requests, errors, rows)
        except ShipwayError as error:
            _log.warning("an event was lost: %s", error.message)

    def _overloaded(self) -> Overloaded:
        return Overloaded(
            f"{self._rows} rows wait for the model already",
            next_step="try again after Retry-After seconds, or raise serve.queue_rows",
            retry_after_s=1,
        )


def _log_fault(predictor: Predictor, outcomes: list[Outcome]) -> None:
    """Say once a batch what the model raised; clients are told only that it did."""
    fault = next((one for one in outcomes if isinstance(one, ModelError)), None)
    if fault is not None:
        name = predictor.served.ref
        _log.warning("%s cannot predict: %s", name, fault.message, exc_info=fault.__cause__)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "the time for this request was over before the model could begin",
        next_step="send smaller requests, or raise serve.request_timeout_s",
    )


class _Figures:
    """The counters of one version, looked up once."""

    def __init__(self, counters: CounterFile, predictor: Predictor) -> None:
        served = predictor.served
        self._labels = (served.endpoint, served.model, str(served.number))
        self._counters = counters
        self._seconds = counters.histogram("shipway_request_duration_seconds", *self._labels)
        self._batch_rows = counters.histogram("shipway_batch_rows", *self._labels)
        self._batch_seconds = counters.histogram("shipway_batch_duration_seconds", *self._labels)
        self._rows = counters.counter("shipway_rows_total", *self._labels)
        self._answered = counters.counter("shipway_requests_total", *self._labels, "200")

    def count_batch(self, rows: int, seconds: float) -> None:
        """Count one call of the model."""
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)

    def count(self, outcome: Outcome, rows: int, seconds: float) -> None:
        """Count one request and how it ended."""
        if isinstance(outcome, Answer):
            self._answered.add()
            self._rows.add(rows)
            self._seconds.observe(seconds)
            for code, number in outcome.warnings.items():
                self._counter("shipway_warnings_total", code).add(number)
        else:
            self._counter("shipway_requests_total", str(http_status(outcome))).add()
            self._counter("shipway_errors_total", outcome.code).add()

    def _counter(self, family: str, label: str) -> Counter:
        return self._counters.counter(family, *self._labels, label)
