"""Bytes in, whole requests out: what is HTTP/1.1, what is refused, and in which words."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import NotFoundError
from shipway.security.certificates import PeerCertificate
from shipway.serving.http.bodies import Room
from shipway.serving.http.exchange import Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.http.reading import RequestReader
from shipway.serving.http.responses import Refusal, Responder

WHOLE = 1 << 20
LIMITS = Limits(max_body_bytes=100, max_head_bytes=2000, max_headers=20, max_target_bytes=200)


@dataclass
class Heard:
    """A recipient and an application that remember what they were told."""

    responder: Responder = field(default_factory=Responder)
    certificate: PeerCertificate | None = None
    gone: bool = False
    full: bool = False
    told: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    broken_with: int = 0
    continues: int = 0

    def flush(self) -> None:
        """Nothing is written."""

    def end_after(self, exchange: Exchange) -> bool:
        return True

    def continue_expected(self) -> None:
        self.continues += 1

    def received(self, exchange: Exchange, body: bytes | bytearray) -> None:
        self.told.append((exchange.method.decode(), exchange.target, bytes(body)))

    def refused(self, exchange: Exchange, refusal: Refusal) -> None:
        self.told.append(("refused", exchange.target, b""))

    def broken(self, exchange: Exchange, refusal: Refusal) -> None:
        self.broken_with = refusal.status

    def admit(self, exchange: Exchange) -> None:
        if exchange.target == b"/no":
            raise Refusal(NotFoundError("no", next_step=""))

    def handle(self, exchange: Exchange, body: bytes | bytearray) -> None:
        """Not asked by a reader."""

    def count_refused(self, refusal: Refusal) -> None:
        """Not asked by a reader."""


def read(data: bytes, size: int = WHOLE) -> Heard:
    """What is heard when *data* comes in pieces of *size*."""
    heard = Heard()
    reader = RequestReader(heard, heard, LIMITS, lambda: 0.0, Room(1 << 30))
    for start in range(0, len(data), size):
        feed(reader, data[start : start + size])
    return heard


def feed(reader: RequestReader, data: bytes) -> None:
    """Let *reader* read all of *data*, a turn after the other."""
    at = 0
    while at < len(data):
        at = reader.feed(data, at)


def head(*lines: str, method: str = "GET", target: str = "/a", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")


HOST = "Host: a"
GOOD = {
    "plain": (head(HOST), [("GET", b"/a", b"")]),
    "http/1.0 without a host": (head(version="1.0"), [("GET", b"/a", b"")]),
    "a leading empty line": (b"\r\n" + head(HOST), [("GET", b"/a", b"")]),
    "a length": (
        head(HOST, "Content-Length: 3", method="POST") + b"abc",
        [("POST", b"/a", b"abc")],
    ),
    "chunks": (
        head(HOST, "Transfer-Encoding: chunked", method="POST")
        + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\nTrailer: x\r\n\r\n",
        [("POST", b"/a", b"abc")],
    ),
    "chunked in capitals": (
        head(HOST, "transfer-encoding: Chunked", method="POST") + b"0\r\n\r\n",
        [("POST", b"/a", b"")],
    ),
    "an empty body": (head(HOST, "Content-Length: 0", method="POST"), [("POST", b"/a", b"")]),
    "a query": (head(HOST, target="/a?b=c%20d"), [("GET", b"/a?b=c%20d", b"")]),
    "an absolute target": (head(HOST, target="http://a/b"), [("GET", b"/b", b"")]),
    "two in a row": (
        head(HOST) + head(HOST, target="/b"),
        [("GET", b"/a", b""), ("GET", b"/b", b"")],
    ),
    "a body, then another": (
        head(HOST, "Content-Length: 2", method="POST") + b"ab" + head(HOST),
        [("POST", b"/a", b"ab"), ("GET", b"/a", b"")],
    ),
    "h2c is offered": (
        head(HOST, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"),
        [("GET", b"/a", b"")],
    ),
    "h2c is offered, with a body and another request": (
        head(HOST, "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 3", method="POST")
        + b"abc"
        + head(HOST),
        [("POST", b"/a", b"abc"), ("GET", b"/a", b"")],
    ),
    "not admitted, with a body": (
        head(HOST, "Content-Length: 3", method="POST", target="/no") + b"abc" + head(HOST),
        [("refused", b"/no", b""), ("GET", b"/a", b"")],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    """A well-formed request is read, whole or byte by byte alike."""
    data, told = GOOD[name]
    for size in (1, 7, WHOLE):
        heard = read(data, size)
        assert (heard.told, heard.broken_with) == (told, 0)


def chunked(body: bytes) -> bytes:
    return head(HOST, "Transfer-Encoding: chunked", method="POST") + body


BAD = {
    "length and chunks": (
        head(HOST, "Content-Length: 3", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
        400,
    ),
    "chunks and length": (
        head(HOST, "Transfer-Encoding: chunked", "Content-Length: 3", method="POST") + b"0\r\n\r\n",
        400,
    ),
    "two lengths": (head(HOST, "Content-Length: 3", "Content-Length: 4", method="POST"), 400),
    "the same length twice": (head(HOST, "Content-Length: 3", "Content-Length: 3"), 400),
    "a list of lengths": (head(HOST, "Content-Length: 3, 3"), 400),
    "a signed length": (head(HOST, "Content-Length: +3"), 400),
    "a negative length": (head(HOST, "Content-Length: -3"), 400),
    "a hexadecimal length": (head(HOST, "Content-Length: 0x3"), 400),
    "an empty length": (head(HOST, "Content-Length: "), 400),
    "a length beyond 64 bits": (head(HOST, "Content-Length: 99999999999999999999"), 400),
    "chunked, identity": (head(HOST, "Transfer-Encoding: chunked, identity"), 400),
    "identity": (head(HOST, "Transfer-Encoding: identity", method="POST"), 400),
    "gzip, chunked": (head(HOST, "Transfer-Encoding: gzip, chunked", method="POST"), 501),
    "xchunked": (head(HOST, "Transfer-Encoding: xchunked", method="POST"), 400),
    "two transfer encodings": (
        head(HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", method="POST"),
        400,
    ),
    "chunks in HTTP/1.0": (head(HOST, "Transfer-Encoding: chunked", version="1.0"), 400),
    "a bare LF in the request line": (b"GET /a HTTP/1.1\nHost: a\r\n\r\n", 400),
    "a bare LF after a header": (b"GET /a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "a bare CR in a header": (b"GET /a HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    "a folded header": (b"GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "NUL in a header": (b"GET /a HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
    "a space before the colon": (b"GET /a HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "a header without a name": (b"GET /a HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "a header without a colon": (b"GET /a HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", 400),
    "two hosts": (head(HOST, "Host: b"), 400),
    "no host": (head(), 400),
    "an empty host": (head("Host: "), 400),
    "two keys": (head(HOST, "Authorization: a", "authorization: b"), 400),
    "HTTP/0.9": (b"GET /a\r\n\r\n", 505),
    "HTTP/1.2": (head(HOST, version="1.2"), 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a method in small letters": (head(HOST, method="get"), 501),
    "an unknown method": (head(HOST, method="BREW"), 501),
    "CONNECT": (head(HOST, method="CONNECT", target="a:80"), 501),
    "a control character in the target": (head(HOST, target="/\x01"), 400),
    "an eighth bit in the target": (head(HOST, target="/\xff"), 400),
    "a target that is too long": (head(HOST, target="/" + "a" * 300), 414),
    "too many headers": (head(HOST, *(f"X-{n}: 1" for n in range(30))), 431),
    "headers too large": (head(HOST, "X: " + "a" * 3000), 431),
    "a header without an end": (b"GET /a HTTP/1.1\r\nX: " + b"a" * 100_000, 431),
    "a request line without an end": (b"GET /" + b"a" * 100_000, 414),
    "a length above the cap": (head(HOST, "Content-Length: 101", method="POST"), 413),
    "chunks above the cap": (chunked(b"33\r\n" + b"a" * 51 + b"\r\n32\r\n" + b"a" * 50), 413),
    "a refused body above the cap": (
        head(HOST, "Transfer-Encoding: chunked", method="POST", target="/no")
        + (b"32\r\n" + b"a" * 50 + b"\r\n") * 3,
        413,
    ),
    "a chunk size in words": (chunked(b"zz\r\n"), 400),
    "a chunk size with 0x": (chunked(b"0x1\r\na\r\n0\r\n\r\n"), 400),
    "a signed chunk size": (chunked(b"+1\r\na\r\n0\r\n\r\n"), 400),
    "a chunk size beyond 64 bits": (chunked(b"fffffffffffffffff\r\n"), 400),
    "a bare LF after a chunk size": (chunked(b"1\na\r\n0\r\n\r\n"), 400),
    "a chunk longer than it says": (chunked(b"1\r\nab0\r\n\r\n"), 400),
    "marks without data": (chunked(b"1;" + b"x" * 200_000), 431),
    "trailers without an end": (chunked(b"0\r\n" + b"X: y\r\n" * 50_000), 431),
    "an unknown expectation": (head(HOST, "Expect: x", "Content-Length: 1", method="POST"), 417),
    "expected, but not admitted": (
        head(HOST, "Expect: 100-continue", "Content-Length: 3", method="POST", target="/no"),
        404,
    ),
    "garbage after a request": (head(HOST) + b"\0\1\2\3\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    """What is not HTTP/1.1 as it should be ends the connection with its status, in pieces too."""
    data, status = BAD[name]
    for size in (WHOLE, 997):
        assert read(data, size).broken_with == status


def test_continue() -> None:
    """Who expects a 100 gets one before the body, and only in HTTP/1.1."""
    lines = (HOST, "Expect: 100-Continue", "Content-Length: 3")
    assert read(head(*lines, method="POST")).continues == 1
    assert read(head(*lines, method="POST", version="1.0")).continues == 0


@given(st.lists(st.integers(1, 60), max_size=40))
def test_any_cut(cuts: list[int]) -> None:
    """However the bytes are cut, the same requests are read."""
    data = b"".join(raw for raw, _ in GOOD.values() if b"Upgrade" not in raw and b"/1.0" not in raw)
    heard = Heard()
    reader = RequestReader(heard, heard, LIMITS, lambda: 0.0, Room(1 << 30))
    at = 0
    for size in [*cuts, len(data)]:
        feed(reader, data[at : at + size])
        at += size
    assert heard.told == read(data).told
    assert not heard.broken_with


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes in, nothing is raised."""
    read(data)
    read(head(HOST) + data)
