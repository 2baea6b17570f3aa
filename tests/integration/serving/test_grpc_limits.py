"""What one call, one connection and all of them together may take over gRPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.corpus.http2 import BEGIN, head
from tests.grpc_rig import (
    DATA,
    END_STREAM,
    HEADERS,
    INFER,
    PING,
    SERVICE,
    Answered,
    Http2,
    ask,
    bearer,
    begin,
    channel,
    frame,
    infer_request,
)
from tests.serving_rig import (
    FakeModel,
    MemoryRouting,
    World,
    columns,
    eventually,
    make_key,
    running,
    served,
)

from shipway.registry.records import EndpointState
from shipway.runtimes.port import Columns
from shipway.serving.http.limits import Limits
from shipway.serving.routing import LoadedVersion
from shipway.serving.rpc.door import OPEN_CALLS
from shipway.serving.rpc.options import GrpcOptions

GOOD = infer_request().SerializeToString()


class GateModel(FakeModel):
    """Answers when it is let; slow at warm-up, so that it runs in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """As the fake model does, once the gate is open."""
        if not self.gate.is_set():
            self.entered.release()
            assert self.gate.wait(20)
        else:
            self.gate.wait(0.004)
            threading.Event().wait(0.004)
        return super().predict(columns)


class GateRouting(MemoryRouting):
    """Serves one gate model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = GateModel()

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """The gate model."""
        return LoadedVersion(served=served(1), model=self.model)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[tuple[World, GateModel]]:
    """A worker whose model can be held up; it may have eight calls open and 20 rows waiting."""
    routing = GateRouting()
    limits = Limits(queue_rows=20, queue_s=1000.0)
    options = GrpcOptions(max_calls=8)
    with running(tmp_path, routing=routing, limits=limits, grpc=options) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        yield world, routing.model
        routing.model.gate.set()


def held(gate: tuple[World, GateModel], line: grpc.Channel) -> Any:
    """A call that the model is busy with."""
    _, model = gate
    model.gate.clear()
    future = begin(line, GOOD)
    assert model.entered.acquire(timeout=20)
    return future


def waiting(world: World) -> int:
    """How many requests wait for the model."""
    return sum(len(lane._waiting) for lane in world.worker._plane.batcher._lanes.values())


def test_a_deadline_is_kept(gate: tuple[World, GateModel]) -> None:
    """A call whose deadline is over is never given to the model."""
    world, model = gate
    with channel(world.grpc) as line:
        first = held(gate, line)
        before = len(model.calls)
        late = begin(line, GOOD, timeout_s=0.3)
        eventually(lambda: waiting(world) == 1)
        with pytest.raises(grpc.RpcError) as caught:
            late.result(20)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        model.gate.set()
        assert first.result(20)
        assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK
        assert len(model.calls) == before + 2


def test_the_clients_parameter(gate: tuple[World, GateModel]) -> None:
    """Triton's `timeout`, in microseconds, is a deadline as well."""
    world, model = gate
    with channel(world.grpc) as line:
        first = held(gate, line)
        request = infer_request()
        request.parameters["timeout"].int64_param = 1000
        second = begin(line, request.SerializeToString())
        with pytest.raises(grpc.FutureTimeoutError):
            second.result(0.1)
        model.gate.set()
        assert first.result(20)
        with pytest.raises(grpc.RpcError) as caught:
            second.result(20)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_cancelled_call_frees_its_place(gate: tuple[World, GateModel]) -> None:
    """What a client has cancelled is not given to the model, and its room is another's."""
    world, model = gate
    with channel(world.grpc) as line:
        first = held(gate, line)
        before = len(model.calls)
        waiting = [begin(line, GOOD) for _ in range(7)]
        eventually(lambda: ask(line, INFER, GOOD).code is grpc.StatusCode.RESOURCE_EXHAUSTED)
        for one in waiting:
            one.cancel()
        again: Any = None

        def taken() -> bool:
            nonlocal again
            again = begin(line, GOOD)
            try:
                again.result(0.05)
            except grpc.FutureTimeoutError:
                return True
            except grpc.RpcError:
                return False
            return True

        eventually(taken)
        model.gate.set()
        assert first.result(20)
        assert again is not None
        assert again.result(20)
        assert sum(model.calls[before:]) == 2


def test_overload(gate: tuple[World, GateModel]) -> None:
    """What finds no room in the queue is RESOURCE_EXHAUSTED at once, with when to come again."""
    world, model = gate
    with channel(world.grpc) as line:
        first = held(gate, line)
        body = infer_request(columns(15)).SerializeToString()
        second = begin(line, body)
        refused: list[Answered] = []

        def full() -> bool:
            answered = ask(line, INFER, body, timeout_s=0.5)
            if answered.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                refused.append(answered)
            return bool(refused)

        eventually(full)
        assert refused[0].trailers["shipway-code"] == "limit.overloaded"
        details = refused[0].trailers["grpc-status-details-bin"]
        assert b"google.rpc.RetryInfo" in details
        model.gate.set()
        assert first.result(20)
        assert second.result(20)


def test_calls_of_callers_and_strangers(tmp_path: Path) -> None:
    """Who fills the callers' room does not close liveness, and strangers cannot fill it."""
    key, record = make_key()
    routing = MemoryRouting(keys=[record])
    options = GrpcOptions(max_calls=4)
    with running(tmp_path, routing=routing, authentication=True, grpc=options) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with channel(world.grpc) as strangers, channel(world.grpc) as callers:
            # A call whose message does not come: the door holds it for as long as it may.
            idle = [begin(callers, _never(), bearer(key)) for _ in range(4)]
            full = grpc.StatusCode.RESOURCE_EXHAUSTED

            def is_full() -> bool:
                """Whether there is no room left; one of ours may have come while we looked."""
                for place, call in enumerate(idle):
                    if call.done():
                        idle[place] = begin(callers, _never(), bearer(key))
                return ask(callers, INFER, GOOD, bearer(key)).code is full

            eventually(is_full)
            live = f"/{SERVICE}/ServerLive"
            assert ask(strangers, live).code is grpc.StatusCode.OK
            for one in idle:
                one.cancel()
            check = "/grpc.health.v1.Health/Check"
            silent = [begin(strangers, _never(), method=check) for _ in range(OPEN_CALLS)]
            eventually(lambda: ask(strangers, live).code is full)
            ok = grpc.StatusCode.OK
            eventually(lambda: ask(callers, INFER, GOOD, bearer(key)).code is ok)
            for one in silent:
                one.cancel()


def _never() -> Iterator[bytes]:
    threading.Event().wait(3)
    yield from ()


def test_a_message_must_come(tmp_path: Path) -> None:
    """A call whose message does not come is ended when a request's time is over."""
    limits = Limits(request_timeout_s=0.2)
    with running(tmp_path, limits=limits, grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with channel(world.grpc) as line:
            future = begin(line, _never())
            with pytest.raises(grpc.RpcError) as caught:
                future.result(20)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "serve.request_timeout_s" in (caught.value.details() or "")


def test_who_leaves_in_the_middle(tmp_path: Path) -> None:
    """A client that leaves while its messages are still to come frees their places at once."""
    with running(tmp_path, grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        for _ in range(4):
            opened = b"".join(head(number) for number in range(1, 61, 2))
            wire = Http2(world.grpc, first=BEGIN + opened + frame(PING, 0, 0, bytes(8)))
            next(kind for kind, *_ in wire.frames() if kind == PING)
            wire.close()
        with channel(world.grpc) as line:
            live = f"/{SERVICE}/ServerLive"
            eventually(lambda: ask(line, live).code is grpc.StatusCode.OK, timeout_s=3)


def test_messages_that_are_being_received(tmp_path: Path) -> None:
    """What messages that are not whole take together is bounded, and the limit is named."""
    limits = Limits(max_receiving_bytes=20_000)
    with running(tmp_path, limits=limits, grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        part = b"\0\0\1\0\0" + bytes(16_000)
        lines = [Http2(world.grpc, first=BEGIN + head(1) + frame(DATA, 0, 1, part)) for _ in "ab"]
        ended = [
            payload
            for kind, flags, _, payload in _until_answered(lines)
            if kind == HEADERS and flags & END_STREAM
        ]
        assert b"serve.max_receiving_bytes" in ended[0]
        for line in lines:
            line.close()
        with channel(world.grpc) as opened:
            large = infer_request(columns(200)).SerializeToString()
            eventually(lambda: ask(opened, INFER, large).code is grpc.StatusCode.OK)


def _until_answered(lines: list[Http2]) -> Iterator[tuple[int, int, int, bytes]]:
    """What comes on any of *lines* until one is answered."""
    for line in lines:
        line.socket.settimeout(0.5)
    while True:
        for line in lines:
            try:
                for found in line.frames():
                    yield found
                    if found[0] == HEADERS:
                        return
            except TimeoutError:
                continue


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker that takes messages of 64 KiB."""
    limits = Limits(max_body_bytes=1 << 16)
    with running(tmp_path_factory.mktemp("run"), limits=limits, grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        yield world


def test_large_messages(small: World) -> None:
    """A message above the limit is RESOURCE_EXHAUSTED; the connection goes on."""
    with channel(small.grpc) as line:
        answered = ask(line, INFER, b"\0" * (1 << 17))
        assert answered.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert answered.trailers["shipway-code"] == "limit.too-large"
        assert "serve.max_body_bytes" in answered.details
        assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK


def test_small_limits(tmp_path: Path) -> None:
    """The limit of messages holds also where one frame would do."""
    limits = Limits(max_body_bytes=1024)
    with running(tmp_path, limits=limits, grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with channel(world.grpc) as line:
            answered = ask(line, INFER, infer_request(columns(100)).SerializeToString())
            assert answered.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "serve.max_body_bytes" in answered.details
            assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK


def test_large_answers(small: World) -> None:
    """An answer may be larger than a request may be."""
    with channel(small.grpc) as line:
        request = infer_request(columns(1000), id="i" * 120)
        answered = ask(line, INFER, request.SerializeToString())
        assert answered.code is grpc.StatusCode.OK
        assert len(answered.body) > 1 << 16


def test_packed_messages(small: World) -> None:
    """A gzip message is read; one that unpacks to more than the limit is RESOURCE_EXHAUSTED."""
    with channel(small.grpc) as line:
        packed = grpc.Compression.Gzip
        plain = infer_request(columns(100), id="packed").SerializeToString()
        answered = ask(line, INFER, plain, compression=packed)
        assert answered.response.id == "packed"
        bomb = infer_request(id="\0" * (1 << 25)).SerializeToString()
        answered = ask(line, INFER, bomb, compression=packed)
        assert answered.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert answered.trailers["shipway-code"] == "limit.too-large"
        assert "serve.max_body_bytes" in answered.details
        assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK


def test_other_codings(small: World) -> None:
    """A message of a coding that is not read is UNIMPLEMENTED, and which are is told."""
    with channel(small.grpc) as line:
        answered = ask(line, INFER, GOOD, compression=grpc.Compression.Deflate)
        assert answered.code is grpc.StatusCode.UNIMPLEMENTED
        assert "identity,gzip" in answered.details


def test_large_metadata(small: World) -> None:
    """Metadata above the limit of heads is RESOURCE_EXHAUSTED, and the limit is named."""
    with channel(small.grpc) as line:
        answered = ask(line, INFER, GOOD, ("x-long", "x" * 40_000))
        assert answered.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "serve.max_head_bytes" in answered.details
        assert ask(line, INFER, GOOD, ("x-long", "x" * 20_000)).code is grpc.StatusCode.OK


def test_a_drain_finishes_what_is_under_way(tmp_path: Path) -> None:
    """Calls that were taken before the drain are all answered."""
    routing = GateRouting()
    with running(tmp_path, routing=routing, grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        model = routing.model
        with channel(world.grpc) as line, ThreadPoolExecutor(2) as pool:
            first = held((world, model), line)
            others = [begin(line, GOOD) for _ in range(20)]
            health = "/grpc.health.v1.Health/Check"
            asked = [pool.submit(ask, line, health) for _ in range(2)]
            assert all(one.result(20).code is grpc.StatusCode.OK for one in asked)
            world.stop()
            eventually(lambda: world.worker._plane.draining)
            model.gate.set()
            assert first.result(20)
            assert all(one.result(20) for one in others)
