"""Every way to be refused, often: what it costs the server in memory and in time."""

from __future__ import annotations

import selectors
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial

from tests.corpus.raw import expand
from tests.serving_rig import infer
from tests.soak.worker import Running

from shipway.serving.http.limits import Limits

LIMITS = Limits(
    header_timeout_s=1.5,
    write_timeout_s=0.5,
    receive_grace_s=0.3,
    keep_alive_s=0.5,
    linger_s=0.2,
    max_connections=150,
)
"""Small times, so that waiting for them is short; the sizes are the product's own."""

Refuse = Callable[[int], None]
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
_POST = b"POST /v2/models/late/infer HTTP/1.1\r\nHost: a\r\n"


@dataclass(frozen=True)
class Growth:
    """What *times* refusals of one kind have left behind, and what each took of the processor."""

    name: str
    grown_bytes: int
    cpu_ms_each: float


def flood(server: Running, name: str, *, times: int) -> Growth:
    """Have *server* refuse *times* in the way of *name*, once it has done so a few times before."""
    refuse = PATHS[name]
    for _ in range(max(1, times // 20)):
        refuse(server.port)
    before, cpu_s = server.steady_rss_bytes(), server.cpu_s()
    for _ in range(times):
        refuse(server.port)
    taken_s = server.cpu_s() - cpu_s
    grown = server.steady_rss_bytes() - before
    assert is_well(server.port), name
    return Growth(name, grown, 1000 * taken_s / times)


def is_well(port: int) -> bool:
    """Whether a good request is answered."""
    with _connect(port) as client:
        client.sendall(LIVEZ)
        return client.recv(12) == b"HTTP/1.1 200"


@contextmanager
def begun_bodies(port: int, *, count: int, size: int) -> Iterator[None]:
    """*count* connections that have each sent *size* bytes of a body, and not its last."""
    head = b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (size + 1)
    clients = [_connect(port) for _ in range(count)]
    try:
        for client in clients:
            client.sendall(head + bytes(size))
        yield
    finally:
        for client in clients:
            client.close()


# ---- one refusal ------------------------------------------------------------------------------


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def _ended(client: socket.socket) -> bytes:
    """What the server still says until it ends the connection."""
    told = bytearray()
    try:
        while part := client.recv(65536):
            told += part
    except ConnectionError:
        pass
    return bytes(told)


def _send(make: Callable[[], bytes], status: int, port: int) -> None:
    """Send all of it, and read to the end; it must be refused with *status*."""
    with _connect(port) as client:
        try:
            client.sendall(make())
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before all was sent
        told = _ended(client)
    assert told.startswith(b"HTTP/1.1 %d " % status), told[:200]


def _leave(data: bytes, port: int) -> None:
    """Send a part of a request, and be gone with a reset."""
    with _connect(port) as client:
        client.sendall(data)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _stay_silent(data: bytes, port: int, *, crowd: int = 20) -> None:
    """Send a part of a request on many connections, and nothing more until all are ended."""
    clients = [_connect(port) for _ in range(crowd)]
    for client in clients:
        client.sendall(data)
    for client in clients:
        assert _ended(client).startswith(b"HTTP/1.1 408 ")
        client.close()


def _never_read(port: int, *, crowd: int = 10) -> None:
    """Ask for much on many connections, and read nothing until all are cut."""
    asking = b"GET /v2/models/late HTTP/1.1\r\nHost: a\r\n\r\n" * 500
    with selectors.DefaultSelector() as selector:
        for _ in range(crowd):
            client = _connect(port)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            selector.register(client, selectors.EVENT_WRITE)
        until = time.monotonic() + 30
        while selector.get_map() and time.monotonic() < until:
            for key, _ in selector.select(0.1):
                try:
                    key.fileobj.send(asking)  # type: ignore[union-attr]
                except BlockingIOError:
                    continue
                except OSError:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
            for key in list(selector.get_map().values()):
                if _is_cut(key.fileobj):  # type: ignore[arg-type]
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
        assert not selector.get_map(), "a client that never reads was not cut"


def _is_cut(client: socket.socket) -> bool:
    state: int = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in {7, 8}  # CLOSE, CLOSE_WAIT


def _crowd(port: int) -> None:
    """Hold every place there is, and be one too many."""
    limit = LIMITS.max_connections
    held: list[socket.socket] = []
    try:
        while len(held) < limit + 5:
            client = _connect(port)
            client.sendall(LIVEZ)
            held.append(client)
        answers = [client.recv(9) + client.recv(3) for client in held]
        assert b"HTTP/1.1 503" in answers
    finally:
        for client in held:
            client.close()


# ---- bodies -----------------------------------------------------------------------------------


@cache
def bomb(unpacked_bytes: int) -> bytes:
    """A zlib stream of about a thousandth of *unpacked_bytes*, which are all zero."""
    packer = zlib.compressobj(9)
    mebibyte = bytes(1 << 20)
    first = packer.compress(mebibyte) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(mebibyte) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * ((unpacked_bytes >> 20) - 1)


def _packed(coding: bytes, body: bytes) -> bytes:
    return _POST + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        coding,
        len(body),
        body,
    )


def _chunked(body: bytes) -> bytes:
    return _POST + b"Transfer-Encoding: chunked\r\n\r\n" + body


_G = "GET /livez HTTP/1.1\nHost: a\n"
_P = "POST /v2/models/late/infer HTTP/1.1\nHost: a\n"
PATHS: Mapping[str, Refuse] = {
    "garbage": partial(_send, lambda: b"\x16\x03\x01\0\0\r\n\r\n", 400),
    "HTTP/2": partial(_send, lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "an unknown method": partial(_send, lambda: expand("BREW / HTTP/1.1\nHost: a\n\n"), 501),
    "a million bytes of target": partial(_send, lambda: b"GET /" + b"a" * 1_000_000, 414),
    "a million bytes of header": partial(
        _send, lambda: expand(_G) + b"X: " + b"a" * 1_000_000, 431
    ),
    "a hundred thousand headers": partial(_send, lambda: expand(_G) + b"X: y\r\n" * 100_000, 431),
    "a folded header": partial(_send, lambda: expand(_G + "X: y\n z\n\n"), 400),
    "two Hosts": partial(_send, lambda: expand(_G + "Host: b\n\n"), 400),
    "a length and chunks": partial(
        _send, lambda: expand(_P + "Content-Length: 1\nTransfer-Encoding: chunked\n\n"), 400
    ),
    "a body above the cap": partial(
        _send, lambda: expand(_P + "Content-Length: 99999999\n\n‹a×100000›"), 413
    ),
    "chunks above the cap": partial(_send, lambda: _chunked(b"ffffffff\r\n" + b"a" * 100_000), 413),
    "65,537 chunks": partial(_send, lambda: _chunked(b"1\r\na\r\n" * 65_537 + b"0\r\n\r\n"), 413),
    "a million bytes of extension": partial(_send, lambda: _chunked(b"1;" + b"x" * 1_000_000), 431),
    "a hundred thousand trailers": partial(
        _send, lambda: _chunked(b"0\r\n" + b"X: y\r\n" * 100_000), 431
    ),
    "a bad chunk": partial(_send, lambda: _chunked(b"1\r\nab0\r\n\r\n"), 400),
    "a bomb of 4 GiB": partial(_send, lambda: _packed(b"deflate", bomb(4 << 30)), 413),
    "a packed body cut short": partial(_send, lambda: _packed(b"gzip", expand("‹gzip-cut›")), 400),
    "a packed body and more": partial(_send, lambda: _packed(b"gzip", expand("‹gzip-more›")), 400),
    "an unknown coding": partial(_send, lambda: _packed(b"br", b"abc"), 415),
    "an expectation": partial(_send, lambda: expand(_G + "Expect: x\n\n"), 417),
    "an answer in no form": partial(_send, lambda: expand(_G + "Accept-Encoding: *;q=0\n\n"), 406),
    "a deadline in words": partial(_send, lambda: expand(_G + "X-Request-Timeout-Ms: x\n\n"), 400),
    "nothing there": partial(_send, lambda: expand("GET /nothing HTTP/1.1\nHost: a\n\n"), 404),
    "a wrong method": partial(_send, lambda: expand("PUT /livez HTTP/1.1\nHost: a\n\n"), 405),
    "a wrong type": partial(
        _send, lambda: expand(_P + "Content-Type: text/x\nContent-Length: 2\n\n{}"), 415
    ),
    "no request in the body": partial(_send, lambda: expand(_P + "Content-Length: 2\n\n{}"), 400),
    "a broken contract": partial(_send, lambda: infer().replace(b"100.0", b'"far"'), 422),
    "twenty slow heads": partial(_stay_silent, b"GET /livez HTTP/1.1\r\nHo"),
    "twenty slow bodies": partial(_stay_silent, _POST + b"Content-Length: 10\r\n\r\nabc"),
    "half a head, and gone": partial(_leave, b"GET /livez HTTP/1.1\r\nHo"),
    "half a body, and gone": partial(
        _leave, _POST + b"Content-Length: 100000\r\n\r\n" + b"a" * 9999
    ),
    "a request, and gone": partial(_leave, infer()),
    "ten that never read": _never_read,
    "one connection too many": _crowd,
}
"""Each refusal, by what the client does; one call is one refusal, or one of a whole crowd."""
CROWDS = {
    "twenty slow heads",
    "twenty slow bodies",
    "ten that never read",
    "one connection too many",
}
COSTLY = {"a bomb of 4 GiB", "65,537 chunks"}
