"""The counters of one version, looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shipway.inference.predictor import Answer, Outcome, ServedVersion
from shipway.serving.counters import Counter, CounterFile
from shipway.serving.statuses import http_status


class Arrived(Protocol):
    """When a request had arrived: in the loop's seconds, and since 1970."""

    received: float
    received_at_ns: int


class Figures:
    """Counts what becomes of the requests to *served*."""

    def __init__(self, counters: CounterFile, served: ServedVersion) -> None:
        self._labels = (served.endpoint, served.model, str(served.number))
        self._counters = counters
        self._seconds = counters.histogram("shipway_request_duration_seconds", *self._labels)
        self._batch_rows = counters.histogram("shipway_batch_rows", *self._labels)
        self._batch_seconds = counters.histogram("shipway_batch_duration_seconds", *self._labels)
        self._rows = counters.counter("shipway_rows_total", *self._labels)
        self._queued = counters.counter("shipway_queued_requests_total", *self._labels)
        self._queue_seconds = counters.counter("shipway_queue_seconds_total", *self._labels)
        self._failed = counters.counter("shipway_failed_seconds_total", *self._labels)
        self._last = counters.counter("shipway_last_request_timestamp_seconds", *self._labels)
        self._answered = counters.counter("shipway_requests_total", *self._labels, "200")

    def count_waiting(self, places: Sequence[Arrived], now: float) -> None:
        """Count the time that the requests of a batch waited until *now*."""
        self._queued.add(len(places))
        self._queue_seconds.add(sum([now - place.received for place in places]))
        self._last.set(places[-1].received_at_ns / 1e9)

    def count_batch(self, rows: int, seconds: float) -> None:
        """Count one call of the model."""
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)

    def count(self, outcomes: Sequence[Outcome], seconds: Sequence[float]) -> None:
        """Count requests, how each ended and how long it took."""
        answered: list[float] = []
        rows = 0
        for outcome, taken in zip(outcomes, seconds, strict=True):
            if isinstance(outcome, Answer):
                answered.append(taken)
                rows += len(outcome.prediction_ids)
                if outcome.warnings:
                    self._count_warnings(outcome)
            else:
                self._counter("shipway_requests_total", str(http_status(outcome))).add()
                self._counter("shipway_errors_total", outcome.code).add()
                self._failed.add(taken)
        if answered:
            self._answered.add(len(answered))
            self._rows.add(rows)
            self._seconds.observe_all(answered)

    def _count_warnings(self, answer: Answer) -> None:
        for code, number in answer.warnings.items():
            self._counter("shipway_warnings_total", code).add(number)

    def _counter(self, family: str, label: str) -> Counter:
        return self._counters.counter(family, *self._labels, label)
