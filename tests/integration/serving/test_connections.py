"""Connections: order, deadlines, limits and ends, over real sockets."""

from __future__ import annotations

import gc
import gzip
import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving_rig import World, columns, eventually, infer, infer_body, post, running

from shipway.serving.http.bodies import BodyReader
from shipway.serving.http.connection import Connection
from shipway.serving.http.limits import Limits

LIMITS = Limits(
    max_body_bytes=4096,
    header_timeout_s=0.3,
    request_timeout_s=0.6,
    keep_alive_s=0.5,
    write_timeout_s=0.5,
    linger_s=0.3,
    max_pipelined=8,
    queue_rows=10,
)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker with small limits."""
    with running(tmp_path_factory.mktemp("run"), limits=LIMITS) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


def test_pipelining(strict: World) -> None:
    """Pipelined requests are answered in order, whatever they ask, and more than fit at once."""
    wire = strict.wire()
    livez = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    count = 200
    wire.send(b"".join(infer(id=str(n)) + livez for n in range(count)))
    for number in range(count):
        reply = wire.reply()
        assert reply.status in (200, 503)
        if reply.status == 200:
            assert reply.json["id"] == str(number)
        assert wire.reply().json == {"live": True}


def test_error_in_its_turn(strict: World) -> None:
    """Garbage after good requests is answered after them, and ends the connection."""
    wire = strict.wire().send(infer(id="first") + b"\0garbage\r\n\r\n")
    assert wire.reply().json["id"] == "first"
    assert wire.reply().status == 400
    assert wire.ended()


@pytest.mark.parametrize("closing", ["Connection: close", None])
def test_connection_close(strict: World, closing: str | None) -> None:
    """A connection ends when the client says so, and otherwise goes on."""
    wire = strict.wire().send(infer(*([closing] if closing else [])))
    reply = wire.reply()
    assert reply.headers.get("connection") == ("close" if closing else None)
    if closing:
        assert wire.ended()
    else:
        assert wire.send(infer()).reply().status == 200


def test_http_1_0(strict: World) -> None:
    """An HTTP/1.0 client is answered and let go."""
    wire = strict.wire().send(b"GET /livez HTTP/1.0\r\n\r\n")
    assert wire.reply().status == 200
    assert wire.ended()


def test_half_closed(strict: World) -> None:
    """A client that says all and then shuts its side still gets its answers."""
    wire = strict.wire().send(infer() + infer())
    wire.socket.shutdown(socket.SHUT_WR)
    assert [wire.reply().status, wire.reply().status] == [200, 200]
    assert wire.ended()


def test_continue(strict: World) -> None:
    """Who expects a 100 gets it, sends the body, and gets the answer."""
    raw = infer("Expect: 100-continue")
    head, _, body = raw.partition(b"\r\n\r\n")
    wire = strict.wire().send(head + b"\r\n\r\n")
    assert wire.reply().status == 100
    assert wire.send(body).reply().status == 200


def padded(size: int) -> bytes:
    body = json.dumps(infer_body()).encode()
    return post("/v2/models/late/infer", body + b" " * (size - len(body)))


def test_body_cap(strict: World) -> None:
    """A body of exactly the cap is read; a byte more is a 413 that names the setting."""
    assert strict.ask(padded(4096)).status == 200
    reply = strict.ask(padded(4097))
    assert reply.status == 413
    assert "serve.max_body_bytes" in reply.json["next"]


def test_large_body_does_not_lose_the_answer(strict: World) -> None:
    """A client that pushes on after its refusal still reads the 413 and not a reset."""
    wire = strict.wire()
    wire.send(b"POST /v2/models/late/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
    for _ in range(20):
        wire.send(b"x" * 1000)
        time.sleep(0.001)
    assert wire.reply().status == 413


def test_slow_headers(strict: World) -> None:
    """Headers that do not arrive in time are a 408 that names the setting, then the end."""
    wire = strict.wire().send(b"GET /livez HTTP/1.1\r\nHo")
    reply = wire.reply()
    assert reply.status == 408
    assert "serve.header_timeout_s" in reply.json["next"]
    assert wire.ended()


def test_trickled_headers(strict: World) -> None:
    """A byte now and then does not buy more time."""
    wire = strict.wire()

    def trickle() -> None:
        for byte in b"GET /livez HTTP/1.1\r\nX: " + b"a" * 1000:
            wire.send(bytes([byte]))
            time.sleep(0.02)

    with pytest.raises((ConnectionError, BrokenPipeError)):
        trickle()


def test_slow_body(strict: World) -> None:
    """A body that does not arrive in time is a 408."""
    wire = strict.wire().send(padded(4096)[:-10])
    reply = wire.reply()
    assert reply.status == 408
    assert "serve.request_timeout_s" in reply.json["next"]


def test_silence(strict: World) -> None:
    """A connection on which nothing is asked is closed, before and after a request."""
    silent, rested = strict.wire(), strict.wire()
    assert rested.send(infer()).reply().status == 200
    assert silent.ended()
    assert rested.ended()


def test_reader_that_never_reads(strict: World) -> None:
    """A client that asks and never reads is cut, and the server does not gather its answers."""
    wire = strict.wire()
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.socket.settimeout(0.2)
    asking = b"GET /v2/models/late HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
    sent = 0
    try:
        for _ in range(200):
            sent += wire.socket.send(asking)
    except (TimeoutError, OSError):
        pass
    assert sent < 200 * len(asking)
    eventually(lambda: _is_cut(wire.socket), timeout_s=10)


def _is_cut(sock: socket.socket) -> bool:
    """Whether the other side has reset the connection (TCP_INFO's first byte is the state)."""
    (state,) = struct.unpack("B", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))
    return state in {7, 8}  # CLOSE, CLOSE_WAIT


def test_overload(strict: World) -> None:
    """What finds no place in the queue is a 503 with a whole number of seconds to wait."""
    wire = strict.wire().send(infer(id="one", data=columns(6)) + infer(id="two", data=columns(6)))
    assert wire.reply().status == 200
    reply = wire.reply()
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert "serve.queue_rows" in reply.json["next"]
    refused = [event for event in strict.sink.events if event.request_id == "two"]
    assert [(one.status, one.code, one.columns) for one in refused] == [
        (503, "limit.overloaded", {})
    ]
    assert strict.ask(infer(data=columns(30))).status == 200


def test_gone_client_costs_no_model_time(tmp_path: Path) -> None:
    """What a client asked before it left is not predicted if it is known to have left."""
    with running(tmp_path) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        for _ in range(20):
            wire = world.wire().send(infer())
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
        assert world.ask(infer()).status == 200


def test_floods_leave_nothing(strict: World) -> None:
    """After hundreds of refused and cut connections none is kept."""
    for _ in range(100):
        for data in (b"\0\r\n\r\n", b"GET /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
            wire = strict.wire().send(data)
            assert wire.reply().status in (400, 404)
            wire.close()
    eventually(lambda: strict.worker._listener.busy == 0)
    assert strict.ask(infer()).status == 200


def test_many_connections(tmp_path: Path) -> None:
    """One connection too many is told so and when to come back; a place that is left is taken."""
    with running(tmp_path, limits=Limits(max_connections=4)) as world:
        asking = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
        held = [world.wire() for _ in range(4)]
        for wire in held:
            assert wire.send(asking).reply().status == 200
        many = world.wire()
        reply = many.reply()
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert "serve.max_connections" in reply.json["next"]
        assert many.ended()
        many.close()
        held[0].close()
        eventually(lambda: world.ask(asking).status == 200)
        assert held[1].send(asking).reply().status == 200


POST = b"POST /v2/models/late/infer HTTP/1.1\r\nHost: a\r\n"
PACKED = gzip.compress(json.dumps(infer_body()).encode())
LEFT = {
    "an answer": infer(),
    "a refusal": b"\0garbage\r\n\r\n",
    "chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    "packed, and cut": POST
    + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(PACKED) - 4)
    + PACKED[:-4],
}


@pytest.mark.parametrize("name", LEFT)
def test_what_ended_is_given_back(strict: World, name: str) -> None:
    """A connection and its body are given back when they end: no collection must find them."""
    kept = (Connection, BodyReader)

    def held() -> int:
        return sum(isinstance(one, kept) for one in gc.get_objects())

    gc.collect()
    before = held()
    gc.disable()
    try:
        for _ in range(5):
            wire = strict.wire().send(LEFT[name])
            if name != "half a chunk":
                wire.reply()
            wire.close()
        eventually(lambda: held() <= before)
    finally:
        gc.enable()
