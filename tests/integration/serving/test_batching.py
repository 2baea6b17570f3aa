"""Drain batching: what the model is spared."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

from tests.serving_rig import FakeModel, MemorySink, columns, served

from shipway.inference.predictor import Predictor
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
        self.gone = False

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
        batcher = Batcher(queue_rows=100, counters=counters, clock=loop.time)
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
        batcher = Batcher(queue_rows=100, counters=counters, clock=time.monotonic)
        exchange = Exchange(Line(), 0.0)
        decoded = Decoded("r", columns(), 1, lambda _: Written(b"{}"))
        batcher.add(exchange, decoded, predictor)
        await asyncio.sleep(0)
        return exchange

    response = asyncio.run(turn()).response or b""
    assert response.startswith(b"HTTP/1.1 500")
    assert b"a bug" not in response
