"""Clients of HTTP/2 that are slow, silent or do not read: each state has its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.corpus.http2 import BEGIN, CHECK, EMPTY, call, fields, four, head, setting
from tests.grpc_rig import (
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST,
    SETTINGS,
    Http2,
    frame,
    infer_request,
)
from tests.serving_rig import World, eventually, running

from shipway.serving.http.limits import Limits
from shipway.serving.http2.conversation import Manners
from shipway.serving.http2.wire import Code
from shipway.serving.rpc.options import GrpcOptions

GOOD = infer_request().SerializeToString()
LIMITS = Limits(
    header_timeout_s=0.4,
    receive_grace_s=0.4,
    request_timeout_s=20.0,
    write_timeout_s=0.4,
    linger_s=0.2,
)
WATCH = "/grpc.health.v1.Health/Watch"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker of little patience."""
    run = tmp_path_factory.mktemp("run")
    with running(run, limits=LIMITS, grpc=GrpcOptions()) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


SLOW = {
    "nothing": (b"", Code.PROTOCOL_ERROR),
    "half a preface": (PREFACE[:10], Code.PROTOCOL_ERROR),
    "no settings": (PREFACE, Code.PROTOCOL_ERROR),
    "half of the settings": (PREFACE + frame(SETTINGS)[:5], Code.PROTOCOL_ERROR),
    "settings that are not acknowledged": (PREFACE + frame(SETTINGS), Code.SETTINGS_TIMEOUT),
    "half of a frame's head": (BEGIN + b"\0\0", Code.ENHANCE_YOUR_CALM),
    "half of a frame": (BEGIN + frame(PING, 0, 0, bytes(8))[:12], Code.ENHANCE_YOUR_CALM),
    "a head that does not end": (
        BEGIN + frame(HEADERS, 0, 1, b"\x10\x01a\x01b"),
        Code.ENHANCE_YOUR_CALM,
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_slow_beginnings(world: World, name: str) -> None:
    """What does not come in its time ends the connection, and the setting is named."""
    first, code = SLOW[name]
    wire = Http2(world.grpc, first=first)
    told = wire.goaway()
    wire.close()
    assert told is not None
    assert told[0] == code
    assert b"serve.header_timeout_s" in told[1]


def test_a_head_that_trickles(world: World) -> None:
    """Pieces of a head that keep coming do not prolong its time."""
    wire = Http2(world.grpc, first=BEGIN + frame(HEADERS, 0, 1, b"\x10\x01a\x01b"))
    wire.socket.settimeout(0.1)
    ended = False
    for _ in range(60):
        wire.send(frame(9, 0, 1, b"\x10\x01a\x01b"))
        try:
            ended = any(kind == GOAWAY for kind, *_ in wire.frames())
        except TimeoutError:
            continue
        break
    assert ended
    wire.close()


def statuses(wire: Http2, number: int = 1) -> bytes:
    """The block that ends a stream."""
    for kind, flags, stream, payload in wire.frames():
        if kind == HEADERS and flags & 1 and stream == number:
            return payload
    return b""


def test_a_slow_message(world: World) -> None:
    """A message that comes too slowly ends its call alone, and the rate is named."""
    wire = Http2(world.grpc, first=BEGIN + head(1) + frame(DATA, 0, 1, b"\0\0\0\x20\0"))
    assert b"serve.min_receive_rate" in statuses(wire)
    wire.send(call(3))
    assert b"grpc-status\x010" in statuses(wire, 3)
    wire.close()


def test_an_answer_that_is_not_let_out(world: World) -> None:
    """A client that gives no window for its answer loses the call; the next is answered."""
    narrow = BEGIN + setting(4, 3)
    wire = Http2(world.grpc, first=narrow + call(1))
    ended = next(found for found in wire.frames() if found[0] == RST)
    assert ended[3] == four(Code.CANCEL)
    wire.send(setting(4, 1000) + call(3))
    assert b"grpc-status\x010" in statuses(wire, 3)
    wire.close()


WIDE = BEGIN + setting(4, (1 << 31) - 1) + frame(8, 0, 0, four(1 << 30))
ASKED = 12_000


def metadata_calls() -> bytes:
    """Many small calls whose answers are larger."""
    block = head(1, fields("/inference.GRPCInferenceService/ModelMetadata"))[9:]
    name = b"\0\0\0\0\x06\x0a\x04late"
    return b"".join(
        frame(HEADERS, 4, number, block) + frame(DATA, 1, number, name)
        for number in range(1, 2 * ASKED, 2)
    )


@pytest.mark.parametrize("patient", [True, False])
def test_answers_that_are_not_read(tmp_path: Path, patient: bool) -> None:
    """Of a client that reads nothing no more is read either, and after a time it is cut."""
    limits = Limits() if patient else LIMITS
    with running(tmp_path, limits=limits, grpc=GrpcOptions()) as world:
        wire = Http2(world.grpc, first=WIDE, narrow=True)
        wire.send(metadata_calls())
        assert world.worker._grpc is not None
        shared = world.worker._grpc._shared
        assert shared is not None
        if patient:
            (connection,) = shared.connections
            eventually(lambda: connection._paused_since is not None)
            talk = connection._talk
            assert talk is not None
            assert talk.highest < 2 * ASKED - 1
            wire.socket.settimeout(5)
            last = 2 * ASKED - 1
            assert b"grpc-status\x010" in statuses(wire, last)
        else:
            eventually(lambda: not shared.connections)
        wire.close()


def test_answers_of_a_stream_that_are_not_read(world: World) -> None:
    """A stream on which much is asked and nothing read is refused, and holds little."""
    info = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    asked = b"\x22\x1einference.GRPCInferenceService"
    message = b"\0" + len(asked).to_bytes(4, "big") + asked
    wire = Http2(world.grpc, first=BEGIN + head(1, fields(info)))
    for _ in range(20):
        wire.send(frame(DATA, 0, 1, message * 400))
    narrow = statuses_after_window(wire)
    assert b"grpc-status\x018" in narrow
    wire.close()


def statuses_after_window(wire: Http2) -> bytes:
    """The end of the first stream, once there is a window for it."""
    wire.send(frame(8, 0, 0, four(1 << 30)) + frame(8, 0, 1, four(1 << 30)))
    return statuses(wire)


def test_silence(tmp_path: Path) -> None:
    """Who is silent while it watches is pinged, and cut if it does not answer that."""
    options = GrpcOptions(manners=Manners(keepalive_s=0.6))
    with running(tmp_path, grpc=options) as world:
        wire = Http2(world.grpc, first=BEGIN + call(1, fields(WATCH)))
        kinds = [kind for kind, *_ in wire.frames()]
        assert PING in kinds
        wire.close()


def test_idleness(tmp_path: Path) -> None:
    """A connection on which nothing is asked for long is told to go, and nothing is lost."""
    options = GrpcOptions(manners=Manners(max_idle_s=0.3, keepalive_s=0.3))
    with running(tmp_path, grpc=options) as world:
        wire = Http2(world.grpc, first=BEGIN)
        found = wire.frames()
        told = next(one for one in found if one[0] == GOAWAY)
        assert told[3] == four((1 << 31) - 1) + four(Code.NO_ERROR)
        wire.send(call(1, fields(CHECK)))
        ping = next(one for one in found if one[0] == PING)
        wire.send(frame(PING, 1, 0, ping[3]))
        rest = list(found)
        wire.close()
        assert any(kind == HEADERS and b"grpc-status\x010" in block for kind, _, _, block in rest)
        last = next(one for one in rest if one[0] == GOAWAY)
        assert last[3] == four(1) + four(Code.NO_ERROR)
        assert EMPTY not in last[3]
