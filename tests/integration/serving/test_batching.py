"""Drain batching: what the model is spared."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving_rig import FakeModel, MemorySink, columns, served

from shipway.errors import DeadlineExceeded, Overloaded
from shipway.inference.predictor import Answer, Outcome, Pace, Predictor
from shipway.runtimes.port import Columns
from shipway.security.certificates import PeerCertificate
from shipway.serving.batching import Batcher
from shipway.serving.counters import CounterFile
from shipway.serving.http.exchange import Exchange
from shipway.serving.http.responses import Responder
from shipway.serving.protocols.decoded import Decoded, Written
from shipway.serving.protocols.oip_codec import Codec, Wanted
from shipway.serving.statuses import http_status


class Line:
    """A channel that writes to nobody."""

    def __init__(self) -> None:
        self.responder = Responder()
        self.certificate: PeerCertificate | None = None
        self.gone = False

    def end_after(self, exchange: Exchange) -> bool:
        """Nothing follows anything."""
        return True

    def flush(self) -> None:
        """Nothing to do."""


def test_only_what_is_due(tmp_path: Path) -> None:
    """What is past its deadline is a 504 and whose client has left is nothing; neither runs."""
    model, sink = FakeModel(), MemorySink()
    predictor = Predictor(served(), model, sink, time.time_ns, status_of=http_status)
    codec = Codec(predictor.served, predictor.rule)

    async def turn() -> list[Exchange]:
        loop = asyncio.get_running_loop()
        counters = CounterFile(tmp_path / "worker-0.counters")
        batcher = Batcher(queue_rows=100, queue_s=1.0, counters=counters, clock=loop.time)
        exchanges = [Exchange(Line(), loop.time()) for _ in range(3)]
        due, late, left = exchanges
        due.deadline = left.deadline = loop.time() + 10
        late.deadline = loop.time() - 1
        left.channel.gone = True  # type: ignore[misc]
        for number, exchange in enumerate(exchanges):
            write = partial(codec.encode, Wanted(("score",)))
            decoded = Decoded(f"r{number}", columns(number + 1), number + 1, write)
            exchange.write = write
            batcher.add(exchange, decoded, predictor)
        await asyncio.sleep(0)
        return exchanges

    due, late, left = asyncio.run(turn())
    assert (due.response or b"").startswith(b"HTTP/1.1 200")
    assert (late.response or b"").startswith(b"HTTP/1.1 504")
    assert left.response is None
    assert model.calls == [1]
    assert sorted((e.request_id, e.status) for e in sink.events) == [("r0", 200), ("r1", 504)]


def test_a_fault_of_ours_is_still_answered(tmp_path: Path) -> None:
    """Whatever breaks within the server, every request gets its one answer."""

    class Broken(MemorySink):
        def append(self, events: object) -> None:
            raise RuntimeError("a bug")

    predictor = Predictor(served(), FakeModel(), Broken(), time.time_ns)

    async def turn() -> Exchange:
        counters = CounterFile(tmp_path / "worker-0.counters")
        batcher = Batcher(queue_rows=100, queue_s=1.0, counters=counters, clock=time.monotonic)
        exchange = Exchange(Line(), 0.0)
        decoded = Decoded("r", columns(), 1, lambda _: Written(b"{}"))
        batcher.add(exchange, decoded, predictor)
        await asyncio.sleep(0)
        return exchange

    response = asyncio.run(turn()).response or b""
    assert response.startswith(b"HTTP/1.1 500")
    assert b"a bug" not in response


class SlowModel(FakeModel):
    """Answers when it is told to, and says how many rows it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.thread = ""

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Wait, then answer like a fake model."""
        self.thread = threading.current_thread().name
        answer = super().predict(columns)
        self.gate.wait(10)
        return answer


@dataclass
class Seat:
    """A place that keeps what it is told."""

    deadline: float = float("inf")
    abandoned: bool = False
    caller: str = "k"
    received: float = 0.0
    received_at_ns: int = 0
    outcome: Outcome | None = None

    def settle(self, outcome: Outcome) -> None:
        """Keep it."""
        assert self.outcome is None
        self.outcome = outcome


class KnownPace(Pace, frozen=True):
    """A pace that nothing changes."""

    def learned(self, rows: int, seconds: float) -> Pace:
        """The same."""
        return self


def slow(model: FakeModel, sink: MemorySink, *, one_row_s: float = 1.0) -> Predictor:
    predictor = Predictor(served(), model, sink, time.time_ns, status_of=http_status)
    predictor.pace = KnownPace(one_row_s, 1 / one_row_s)
    return predictor


def decoded(name: str, rows: int = 1) -> Decoded:
    return Decoded(name, columns(rows), rows, lambda _: Written(b"{}"))


@contextmanager
def batcher(tmp_path: Path, *, queue_rows: int = 100, queue_s: float = 1e9) -> Iterator[Batcher]:
    counters = CounterFile(tmp_path / "worker-0.counters")
    made = Batcher(queue_rows=queue_rows, queue_s=queue_s, counters=counters, clock=time.monotonic)
    yield made
    made.close()


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to be")


def test_the_next_batch_gathers_while_a_slow_model_is_busy(tmp_path: Path) -> None:
    """A slow model runs off the loop; what comes meanwhile is its next call, all of it together."""
    model, sink = SlowModel(), MemorySink()
    predictor = slow(model, sink)
    predictor.pace = KnownPace(1.0, 1e6)

    async def turn() -> list[Seat]:
        with batcher(tmp_path) as queue:
            seats = [Seat() for _ in range(5)]
            queue.add(seats[0], decoded("r0"), predictor)
            await until(lambda: model.calls == [1])
            for number in (1, 2, 3, 4):
                queue.add(seats[number], decoded(f"r{number}"), predictor)
                await asyncio.sleep(0)
            assert not any(seat.outcome for seat in seats)
            assert not queue.forget([])
            model.gate.set()
            await until(lambda: all(seat.outcome for seat in seats))
            assert queue.forget([])
        return seats

    seats = asyncio.run(turn())
    assert model.calls == [1, 4]
    assert model.thread != threading.current_thread().name
    assert all(isinstance(seat.outcome, Answer) for seat in seats)
    assert [event.request_id for event in sink.events] == ["r0", "r1", "r2", "r3", "r4"]


def test_a_model_that_may_stall_leaves_the_loop(tmp_path: Path) -> None:
    """However fast it was at its warm-up: whoever asks other versions must not wait for it."""

    class Stalls(SlowModel):
        may_stall = True

    model, sink = Stalls(), MemorySink()
    predictor = slow(model, sink)
    predictor.pace = Pace(1e-6, 1e6)

    async def turn() -> None:
        with batcher(tmp_path) as queue:
            seat = Seat()
            queue.add(seat, decoded("r"), predictor)
            await until(lambda: model.calls == [1])
            assert seat.outcome is None
            model.gate.set()
            await until(lambda: seat.outcome)

    asyncio.run(turn())
    assert model.thread != threading.current_thread().name


def test_a_call_is_bounded_by_the_objective(tmp_path: Path) -> None:
    """A call takes no more rows than fit half of the p99 objective, but always one request."""
    model = SlowModel()
    version = msgspec.structs.replace(served(), latency_p99_s=0.2)
    predictor = Predictor(version, model, MemorySink(), time.time_ns)
    predictor.pace = KnownPace(0.01, 30.0)
    model.gate.set()

    async def turn() -> None:
        with batcher(tmp_path) as queue:
            seats = [Seat() for _ in range(5)]
            for number, (seat, rows) in enumerate(zip(seats, (1, 1, 1, 1, 7), strict=True)):
                queue.add(seat, decoded(f"r{number}", rows), predictor)
            await until(lambda: all(seat.outcome for seat in seats))

    asyncio.run(turn())
    assert model.calls == [3, 1, 7]


def test_who_would_wait_too_long_is_told_when_to_come_again(tmp_path: Path) -> None:
    """With more work waiting than ``queue_s``, or than a deadline allows, the answer is 503."""
    model, sink = SlowModel(), MemorySink()
    predictor = slow(model, sink, one_row_s=2.0)

    async def turn() -> None:
        with batcher(tmp_path, queue_s=5.0) as queue:
            running, waits, last = Seat(), Seat(), Seat()
            queue.add(running, decoded("r0"), predictor)
            await until(lambda: model.calls == [1])
            queue.add(waits, decoded("r1"), predictor)
            hurried = Seat(deadline=time.monotonic() + 1.0)
            with pytest.raises(Overloaded, match="1 rows wait") as refused:
                queue.add(hurried, decoded("r2"), predictor)
            assert refused.value.retry_after_s == 2
            queue.add(last, decoded("r3", 2), predictor)
            with pytest.raises(Overloaded, match="3 rows wait") as refused:
                queue.add(Seat(), decoded("r4"), predictor)
            assert refused.value.retry_after_s == 6
            assert "serve.queue_s" in refused.value.next_step
            waits.abandoned = True  # who has left gives the place to another
            await asyncio.sleep(0.02)
            queue.add(Seat(), decoded("r5"), predictor)
            model.gate.set()
            await until(lambda: last.outcome)
            assert waits.outcome is None

    asyncio.run(turn())
    assert sorted((e.request_id, e.status) for e in sink.events if e.status != 200) == [
        ("r2", 503),
        ("r4", 503),
    ]


def test_nothing_starts_after_its_deadline(tmp_path: Path) -> None:
    """A request whose time runs out while the model is busy is a 504 and never reaches it."""
    model, sink = SlowModel(), MemorySink()
    predictor = slow(model, sink, one_row_s=0.01)

    async def turn() -> Seat:
        with batcher(tmp_path) as queue:
            first, hurried = Seat(), Seat(deadline=time.monotonic() + 0.1)
            queue.add(first, decoded("r0"), predictor)
            queue._drain()
            queue.add(hurried, decoded("r1"), predictor)
            await asyncio.sleep(0.15)
            model.gate.set()
            await until(lambda: first.outcome and hurried.outcome)
            return hurried

    assert isinstance(asyncio.run(turn()).outcome, DeadlineExceeded)
    assert model.calls == [1]
