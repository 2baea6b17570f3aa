"""Drain batching: what arrives in one turn of the loop is one call of the model.

Nobody waits for a batch window, and a lone request pays nothing. A model whose call would hold up
the loop runs in a thread, and the next batch gathers while it is busy. What is past its deadline
or whose client has left is never given to the model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter

from shipway.errors import ModelError, PredictionFailed, ShipwayError
from shipway.inference.predictor import Outcome, Predictor, Request
from shipway.serving.counters import CounterFile
from shipway.serving.lanes import Batch, Lane, Place, Waiting, late
from shipway.serving.protocols.decoded import Decoded

__all__ = ["Batcher", "Place"]

_log = logging.getLogger(__name__)
_THREADS = 16


class Batcher:
    """Gathers inference requests until the loop has read what there is, then answers them all."""

    def __init__(
        self,
        *,
        queue_rows: int,
        queue_s: float,
        counters: CounterFile,
        clock: Callable[[], float],
    ) -> None:
        self._make_lane = partial(
            Lane, counters=counters, clock=clock, queue_rows=queue_rows, queue_s=queue_s
        )
        self._clock = clock
        self._lanes: dict[Predictor, Lane] = {}
        self._called: list[Lane] = []
        self._threads: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, place: Place, decoded: Decoded, predictor: Predictor) -> None:
        """Let *decoded* wait for the model; raises Overloaded if there is no room or no time."""
        lane = self._lanes.get(predictor)
        if lane is None:
            lane = self._lanes[predictor] = self._make_lane(predictor)
        self._call(lane)
        request = Request(decoded.id, decoded.columns, place.caller, place.received_at_ns)
        lane.add(Waiting(place, request, decoded.rows))

    def forget(self, kept: Iterable[Predictor]) -> bool:
        """Drop the lanes of all but *kept*; False while one of them still has work."""
        known = set(kept)
        gone = [one for one in self._lanes if one not in known]
        for predictor in gone:
            if self._lanes[predictor].idle:
                del self._lanes[predictor]
        return all(one not in self._lanes for one in gone)

    def close(self) -> None:
        """Let go of the threads; what they still run is not waited for."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _drain(self) -> None:
        called, self._called = self._called, []
        for lane in dict.fromkeys(called):
            self._serve(lane)

    def _serve(self, lane: Lane) -> None:
        """Begin the next call for *lane*, unless one is under way."""
        if lane.turned_away:
            turned_away, lane.turned_away = lane.turned_away, []
            requests, errors, rows = zip(*turned_away, strict=True)
            self._record_refused(lane, requests, errors, rows)
        if lane.busy:
            return
        batch = lane.take()
        self._answer_late(lane, batch.late)
        if not batch.due:
            return
        lane.figures.count_waiting([one.place for one in batch.due], self._clock())
        if lane.runs_inline(batch):
            self._finish(lane, batch, *_timed(lane.predictor, batch))
            if not lane.idle:
                self._call(lane)
        else:
            lane.busy = True
            self._in_thread(lane, batch)

    def _call(self, lane: Lane) -> None:
        """Have *lane* served once the loop has read what there is."""
        if not self._called:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()  # asks the system for the process each time
            self._loop.call_soon(self._drain)
        self._called.append(lane)

    def _in_thread(self, lane: Lane, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="model")

        def finish(outcomes: list[Outcome], seconds: float) -> None:
            lane.busy = False
            self._finish(lane, batch, outcomes, seconds)
            self._serve(lane)

        def run() -> None:
            outcomes, seconds = _timed(lane.predictor, batch)
            try:
                loop.call_soon_threadsafe(finish, outcomes, seconds)
            except RuntimeError:
                return  # the loop has ended; nobody waits any more

        self._threads.submit(run)

    def _finish(self, lane: Lane, batch: Batch, outcomes: list[Outcome], seconds: float) -> None:
        """Remember a batch, then let everybody know: events come before answers."""
        figures = lane.figures
        lane.learn(lane.pace.learned(batch.rows, seconds))
        _log_fault(lane.predictor, outcomes)
        figures.count_batch(batch.rows, seconds)
        outcomes = _recorded(lane.predictor, batch, outcomes)
        now = self._clock()
        figures.count(outcomes, [now - one.place.received for one in batch.due])
        for one, outcome in zip(batch.due, outcomes, strict=True):
            one.place.settle(outcome)

    def _answer_late(self, lane: Lane, ones: list[Waiting]) -> None:
        if not ones:
            return
        errors = [late() for _ in ones]
        self._record_refused(lane, [one.request for one in ones], errors, [o.rows for o in ones])
        for one, error in zip(ones, errors, strict=True):
            one.place.settle(error)

    def _record_refused(
        self,
        lane: Lane,
        requests: Iterable[Request],
        errors: Iterable[ShipwayError],
        rows: Iterable[int],
    ) -> None:
        told = tuple(errors)
        lane.figures.count(told, [0.0] * len(told))
        try:
            lane.predictor.record_refused(tuple(requests), told, tuple(rows))
        except ShipwayError as error:
            _log.warning("an event was lost: %s", error.message)


def _timed(predictor: Predictor, batch: Batch) -> tuple[list[Outcome], float]:
    """One outcome each, whatever happens: no request may be left without an answer."""
    began = perf_counter()
    try:
        outcomes = predictor.answer([one.request for one in batch.due])
    except Exception:  # an outermost loop: a fault of ours must not end the worker
        outcomes = _all_failed(predictor, batch)
    return outcomes, perf_counter() - began


def _recorded(predictor: Predictor, batch: Batch, outcomes: list[Outcome]) -> list[Outcome]:
    try:
        predictor.record([one.request for one in batch.due], outcomes)
    except ShipwayError as error:
        return [error] * len(outcomes)
    except Exception:  # an outermost loop, as above
        return _all_failed(predictor, batch)
    return outcomes


def _all_failed(predictor: Predictor, batch: Batch) -> list[Outcome]:
    _log.exception("predicting failed", extra={"version": predictor.served.ref})
    failed = PredictionFailed("the server failed to predict", next_step="look at the server's log")
    return [failed] * len(batch.due)


def _log_fault(predictor: Predictor, outcomes: list[Outcome]) -> None:
    """Say once a batch what the model raised; clients are told only that it did."""
    fault = next((one for one in outcomes if isinstance(one, ModelError)), None)
    if fault is not None:
        name = predictor.served.ref
        _log.warning("%s cannot predict: %s", name, fault.message, exc_info=fault.__cause__)
