"""HTTP/2 that no client sends: the one connection ends or is answered, the others see nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from tests.grpc_rig import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INFER,
    PING,
    RST,
    SETTINGS,
    WINDOW,
    Http2,
    ask,
    channel,
    frame,
    header_block,
    infer_request,
)
from tests.serving_rig import eventually, running

from shipway.serving.http.limits import Limits
from shipway.serving.rpc.options import GrpcOptions

ROOT = Path(__file__).parents[3]
GOOD = infer_request().SerializeToString()
ENHANCE_YOUR_CALM = 11
GROWTH_KIB = 1024
CANCEL = (8).to_bytes(4, "big")


@pytest.fixture(scope="module")
def flooded() -> Iterator[tuple[str, int]]:
    """A worker in a process of its own: where it answers gRPC, and its process id."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.grpc_child"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        target = child.stdout.readline().strip()
        assert target
        yield target, child.pid
        assert child.poll() is None, "the worker did not live through it"
    finally:
        child.communicate(timeout=30)
    assert child.returncode == 0


def resident_kib(pid: int) -> int:
    """What the process keeps in memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


@contextmanager
def others(target: str) -> Iterator[None]:
    """Good calls go on all the while on a connection of their own, and none fails."""
    over = threading.Event()
    codes: list[grpc.StatusCode] = []

    def go_on() -> None:
        with channel(target) as line:
            while not over.is_set() or len(codes) < 20:
                codes.append(ask(line, INFER, GOOD).code)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
    assert set(codes) == {grpc.StatusCode.OK}


def rapid_resets(wire: Http2) -> None:
    """Calls that are cancelled as soon as they are made (CVE-2023-44487)."""
    block = header_block()
    for start in range(1, 40_000, 200):
        streams = range(start, start + 200, 2)
        sent = b"".join(
            frame(HEADERS, END_HEADERS, stream, block) + frame(RST, 0, stream, CANCEL)
            for stream in streams
        )
        if not wire.send(sent):
            return


def endless_head(wire: Http2) -> None:
    """A head that goes on for ever (CVE-2024-27316)."""
    wire.send(frame(HEADERS, 0, 1, header_block()))
    more = b"\x10\x06x-long\x7f\x81\x7d" + b"x" * 16_128
    for _ in range(12_000):
        if not wire.send(frame(CONTINUATION, 0, 1, more)):
            return


def empty_continuations(wire: Http2) -> None:
    """A head in pieces of nothing."""
    wire.send(frame(HEADERS, 0, 1, header_block()))
    for _ in range(300):
        if not wire.send(frame(CONTINUATION, 0, 1) * 200):
            return


def settings(wire: Http2) -> None:
    """Settings, each of which wants an acknowledgement."""
    for _ in range(300):
        if not wire.send(frame(SETTINGS) * 200):
            return


def pings(wire: Http2) -> None:
    """Pings, each of which wants an answer."""
    for _ in range(300):
        if not wire.send(frame(PING, 0, 0, b"12345678") * 200):
            return


def empty_data(wire: Http2) -> None:
    """A message in pieces of nothing."""
    wire.send(frame(HEADERS, END_HEADERS, 1, header_block()))
    for _ in range(300):
        if not wire.send(frame(DATA, 0, 1) * 200):
            return


def silent_streams(wire: Http2) -> None:
    """Many calls at once, whose messages do not come."""
    block = header_block()
    wire.send(b"".join(frame(HEADERS, END_HEADERS, s, block) for s in range(1, 4001, 2)))


def narrow_window(wire: Http2) -> None:
    """A client that takes its answers a byte at a time."""
    wire.send(frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x01"))
    block = header_block()
    message = b"\0" + len(GOOD).to_bytes(4, "big") + GOOD
    for stream in range(1, 401, 2):
        sent = frame(HEADERS, END_HEADERS, stream, block)
        if not wire.send(sent + frame(DATA, END_STREAM, stream, message)):
            return


def made_to_reset(wire: Http2) -> None:
    """Calls that the server is made to reset itself (CVE-2025-8671)."""
    block = header_block()
    for start in range(1, 40_000, 200):
        streams = range(start, start + 200, 2)
        sent = b"".join(
            frame(HEADERS, END_HEADERS, one, block) + frame(WINDOW, 0, one, bytes(4))
            for one in streams
        )
        if not wire.send(sent):
            return


def malformed_heads(wire: Http2) -> None:
    """Heads that are no requests."""
    block = header_block(INFER, ("X-A", "v"))
    for start in range(1, 40_000, 200):
        streams = range(start, start + 200, 2)
        if not wire.send(b"".join(frame(HEADERS, END_HEADERS, one, block) for one in streams)):
            return


def windows(wire: Http2) -> None:
    """Windows that are widened by a byte at a time."""
    for _ in range(300):
        if not wire.send(frame(WINDOW, 0, 0, b"\0\0\0\1") * 200):
            return


def priorities(wire: Http2) -> None:
    """Weights of streams that never begin."""
    for _ in range(300):
        if not wire.send(frame(2, 0, 1, bytes(5)) * 200):
            return


def large_heads(wire: Http2) -> None:
    """Heads just above the limit, one after the other."""
    block = header_block(INFER, ("x-long", "x" * 16_000))
    block = block[:16_384]
    for stream in range(1, 4_000, 2):
        sent = frame(HEADERS, 0, stream, block) + frame(CONTINUATION, END_HEADERS, stream, block)
        if not wire.send(sent):
            return


def references(wire: Http2) -> None:
    """Small heads that mean large ones: an entry of the table, again and again."""
    entry = b"\x40\x01a\x7f\xb9\x16" + b"x" * 3000
    for stream in range(1, 4_000, 2):
        if not wire.send(frame(HEADERS, END_HEADERS, stream, entry + b"\xbe" * 12)):
            return


def tables(wire: Http2) -> None:
    """Tables that shrink and grow within each head."""
    block = b"\x20\x3f\xe1\x1f" * 200 + header_block()
    for stream in range(1, 4_000, 2):
        sent = frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
        if not wire.send(sent):
            return


def small_pieces(wire: Http2) -> None:
    """A message in pieces of one byte, each with more padding than that."""
    wire.send(frame(HEADERS, END_HEADERS, 1, header_block()))
    wire.send(frame(DATA, 0, 1, b"\0\2\0\0\0"))
    piece = frame(DATA, 8, 1, b"\x40x" + bytes(64))
    for _ in range(1000):
        if not wire.send(piece * 100):
            return


def nonsense(wire: Http2) -> None:
    """Frames that break the protocol."""
    wire.send(frame(DATA, 0, 5, b"x") + frame(99, 0, 0, b"y") + b"\xff" * 1000)


FLOODS: list[Callable[[Http2], None]] = [
    rapid_resets,
    endless_head,
    empty_continuations,
    settings,
    pings,
    empty_data,
    silent_streams,
    narrow_window,
    made_to_reset,
    malformed_heads,
    windows,
    priorities,
    large_heads,
    references,
    tables,
    small_pieces,
    nonsense,
]


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_a_flood(flooded: tuple[str, int], flood: Callable[[Http2], None]) -> None:
    """Other connections see no error, and memory does not grow with what was sent."""
    target, pid = flooded
    with channel(target) as line:
        assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK
    before = resident_kib(pid)
    with others(target):
        wire = Http2(target)
        flood(wire)
        grown = resident_kib(pid) - before
        wire.close()
    assert grown < GROWTH_KIB
    with channel(target) as line:
        eventually(lambda: ask(line, INFER, GOOD).code is grpc.StatusCode.OK)


def test_pings_are_told_to_calm_down(flooded: tuple[str, int]) -> None:
    """A client that pings too often is told so, and its connection ends."""
    wire = Http2(flooded[0])
    for _ in range(40):
        if not wire.send(frame(PING, 0, 0, b"12345678")):
            break
    told = wire.goaway()
    assert told == (ENHANCE_YOUR_CALM, b"too_many_pings")
    wire.close()


def test_being_made_to_reset_is_counted(flooded: tuple[str, int]) -> None:
    """A client that makes the server reset stream after stream is told to calm down."""
    block = header_block()
    wire = Http2(flooded[0])
    wire.send(
        b"".join(
            frame(HEADERS, END_HEADERS, one, block) * 2  # the second are trailers that do not end
            for one in range(1, 3001, 2)
        )
    )
    told = wire.goaway()
    wire.close()
    assert told is not None
    assert told[0] == ENHANCE_YOUR_CALM


def test_connections_are_limited(tmp_path: Path) -> None:
    """One connection more than allowed is told so and closed; those that are open go on."""
    limits = Limits(max_connections=2)
    with running(tmp_path, limits=limits, grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with channel(world.grpc) as line, channel(world.grpc) as another:
            assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK
            assert ask(another, INFER, GOOD).code is grpc.StatusCode.OK
            wire = Http2(world.grpc)
            told = wire.goaway()
            assert told is not None
            assert told[0] == ENHANCE_YOUR_CALM
            assert b"serve.max_connections" in told[1]
            wire.close()
            assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK


def test_not_http2(flooded: tuple[str, int]) -> None:
    """HTTP/1.1 on this port, an upgrade to HTTP/2 with it, gets no answer; the connection ends."""
    asked = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n"
    wire = Http2(flooded[0], first=asked)
    answers = [kind for kind, *_ in wire.frames()]
    assert HEADERS not in answers
    wire.close()
