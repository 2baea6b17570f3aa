"""The corpus of raw HTTP/2: what a client sends on one connection, and what it must get.

``streams`` is how each ends: ``ok``, ``grpc 12`` (its status), ``http 415``, ``reset CANCEL``;
what is not named gets no answer. ``goaway`` is the code that ends the connection, None where it
goes on. Limits: a head of 8 KiB and 30 fields, a message of 64 KiB in 100 pieces, 16 streams.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field

import hpack
from tests.grpc_rig import PREFACE, frame

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END, ACK, WHOLE, PADDED, WEIGHED = 1, 1, 4, 8, 32
Fields = Sequence[tuple[str, str]]

CHECK = "/grpc.health.v1.Health/Check"
LIVE = "/inference.GRPCInferenceService/ServerLive"
EMPTY = b"\0\0\0\0\0"
BEGIN = PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK)


@dataclass(frozen=True)
class Case:
    """One connection."""

    name: str
    sent: bytes
    streams: dict[int, str] = field(default_factory=dict)
    goaway: str | None = None
    begins: bool = True

    @property
    def data(self) -> bytes:
        """All that is sent, the preface and the settings first where they are not the matter."""
        return BEGIN + self.sent if self.begins else self.sent


def fields(path: str = CHECK, *more: tuple[str, str], without: str = "", **changed: str) -> Fields:
    """The fields of a good call, and *more*."""
    good = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "x",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    good |= {name.replace("_", "-").replace("--", ":"): value for name, value in changed.items()}
    return [(name, value) for name, value in good.items() if name != without] + list(more)


def block(given: Fields) -> bytes:
    """*given*, written out; nothing goes into the table."""
    return hpack.Encoder().encode([(name, value, True) for name, value in given])


def head(number: int, given: Fields | None = None, flags: int = WHOLE) -> bytes:
    """HEADERS of a call."""
    return frame(HEADERS, flags, number, block(fields() if given is None else given))


def call(number: int, given: Fields | None = None, message: bytes = EMPTY) -> bytes:
    """A whole call."""
    return head(number, given) + frame(DATA, END, number, message)


def four(value: int) -> bytes:
    """As 32 bits."""
    return value.to_bytes(4, "big")


def setting(key: int, value: int) -> bytes:
    """A SETTINGS frame of one value."""
    return frame(SETTINGS, 0, 0, key.to_bytes(2, "big") + four(value))


def with_fields(name: str, expected: str, *given: tuple[str, str], **changed: str) -> Case:
    """A call with other fields."""
    without = changed.pop("without", "")
    return Case(name, call(1, fields(CHECK, *given, without=without, **changed)), {1: expected})


def table_bomb() -> bytes:
    """A large entry in the table, and a head that is nothing but that, again and again."""
    entry = b"\x40\x01a\x7f" + bytes([(3000 - 127) & 127 | 128, (3000 - 127) >> 7]) + b"x" * 3000
    return frame(HEADERS, WHOLE | END, 1, entry + b"\xbe" * 4000)


MALFORMED = "reset PROTOCOL_ERROR"

VALID = [
    Case("a call", call(1), {1: "ok"}),
    Case("a call of a method that waits for no message", call(1, fields(LIVE)), {1: "ok"}),
    Case("two calls", call(1) + call(3), {1: "ok", 3: "ok"}),
    Case("numbers may be left out", call(1) + call(7) + call(101), {1: "ok", 7: "ok", 101: "ok"}),
    Case("two calls at a time", head(1) + head(3) + frame(DATA, END, 3, EMPTY)
         + frame(DATA, END, 1, EMPTY), {1: "ok", 3: "ok"}),
    Case("the end comes by itself", head(1) + frame(DATA, 0, 1, EMPTY) + frame(DATA, END, 1),
         {1: "ok"}),
    Case("a message in pieces", head(1) + b"".join(
        frame(DATA, 0, 1, EMPTY[at:at + 1]) for at in range(5)) + frame(DATA, END, 1), {1: "ok"}),
    Case("the end comes with trailers", head(1) + frame(DATA, 0, 1, EMPTY)
         + frame(HEADERS, WHOLE | END, 1, block([("x-sum", "1")])), {1: "ok"}),
    Case("padding", head(1) + frame(DATA, END | PADDED, 1, b"\x03" + EMPTY + bytes(3)), {1: "ok"}),
    Case("padding of the head", frame(
        HEADERS, WHOLE | PADDED, 1, b"\2" + block(fields()) + bytes(2))
         + frame(DATA, END, 1, EMPTY), {1: "ok"}),
    Case("a weight", frame(HEADERS, WHOLE | WEIGHED, 1, b"\0\0\0\0\x10" + block(fields()))
         + frame(DATA, END, 1, EMPTY), {1: "ok"}),
    Case("a head in pieces", frame(HEADERS, 0, 1, block(fields())[:7])
         + frame(CONTINUATION, 0, 1, block(fields())[7:20])
         + frame(CONTINUATION, WHOLE, 1, block(fields())[20:]) + frame(DATA, END, 1, EMPTY),
         {1: "ok"}),
    Case("a head whose end is an empty piece", frame(HEADERS, 0, 1, block(fields()))
         + frame(CONTINUATION, WHOLE, 1) + frame(DATA, END, 1, EMPTY), {1: "ok"}),
    Case("priorities are let pass", frame(PRIORITY, 0, 5, b"\0\0\0\0\x10") + call(1), {1: "ok"}),
    Case("frames that nobody knows", frame(99, 7, 0, b"?") + call(1) + frame(0xFA, 0, 1, b"?"),
         {1: "ok"}),
    Case("a setting that nobody knows", setting(999, 1) + call(1), {1: "ok"}),
    Case("the reserved bit is not looked at", frame(DATA, 0, 0)[:0] + head(1)
         + frame(DATA, END, 1 | 1 << 31, EMPTY), {1: "ok"}),
    Case("a ping", frame(PING, 0, 0, b"12345678") + call(1), {1: "ok"}),
    Case("a window", frame(WINDOW, 0, 0, four(1000)) + call(1), {1: "ok"}),
    Case("a window of a stream that is over", call(1) + frame(WINDOW, 0, 1, four(9)), {1: "ok"}),
    Case("the rest of a message, after the answer", head(1, fields(LIVE))
         + frame(DATA, 0, 1, bytes(16_384)) * 60 + frame(DATA, END, 1), {1: "ok"}),
    Case("a reset of a stream that is over", call(1) + frame(RST, 0, 1, four(8)), {1: "ok"}),
    Case("a reset", head(1) + frame(RST, 0, 1, four(8)) + call(3), {3: "ok"}),
    Case("a client that says goodbye", frame(GOAWAY, 0, 0, bytes(8)) + call(1), {1: "ok"}),
    Case("a table of no size", frame(HEADERS, WHOLE, 1, b"\x20" + block(fields()))
         + frame(DATA, END, 1, EMPTY), {1: "ok"}),
    Case("the length is told", call(1, fields(CHECK, ("content-length", "5"))), {1: "ok"}),
    with_fields("a subtype", "ok", content_type="application/grpc+proto"),
    with_fields("a parameter of the type", "ok", content_type="application/grpc;charset=utf-8"),
    with_fields("a timeout", "ok", ("grpc-timeout", "5S")),
    with_fields("a timeout of hours", "ok", ("grpc-timeout", "99999999H")),
    with_fields("identity", "ok", ("grpc-encoding", "identity")),
    with_fields("te may be left out", "ok", without="te"),
    with_fields("no authority", "ok", without=":authority"),
    with_fields("metadata twice", "ok", ("x-a", "1"), ("x-a", "2")),
    with_fields("an empty value", "ok", ("x-a", "")),
    with_fields("bytes above ASCII in a value", "ok", ("x-a", "ü")),
    Case("a packed message", call(1, fields(CHECK, ("grpc-encoding", "gzip")),
         b"\x01" + four(len(gzip.compress(b""))) + gzip.compress(b"")), {1: "ok"}),
    Case("a message as it is, where it might be packed",
         call(1, fields(CHECK, ("grpc-encoding", "gzip"))), {1: "ok"}),
]  # fmt: skip

REFUSED = [
    with_fields("another method", "http 405", **{"--method": "PUT"}),
    with_fields("JSON", "http 415", content_type="application/json"),
    with_fields("gRPC for browsers", "http 415", content_type="application/grpc-web"),
    with_fields("no type", "http 415", without="content-type"),
    with_fields("a method that is not there", "grpc 12", **{"--path": "/a/B"}),
    with_fields("a path without a slash", "grpc 12", **{"--path": "a"}),
    with_fields("a coding that is not read", "grpc 12", ("grpc-encoding", "br")),
    with_fields("a timeout that is none", "grpc 3", ("grpc-timeout", "soon")),
    with_fields("a timeout of nine digits", "grpc 3", ("grpc-timeout", "123456789S")),
    with_fields("a timeout without a unit", "grpc 3", ("grpc-timeout", "5")),
    with_fields("too many fields", "grpc 8", *[(f"x-{n}", "v") for n in range(40)]),
    with_fields("too long a field", "grpc 8", ("x-long", "v" * 9000)),
    Case("no message", head(1, flags=WHOLE | END), {1: "grpc 3"}),
    Case("an end without a message", head(1) + frame(DATA, END, 1), {1: "grpc 3"}),
    Case("half a message", call(1, message=EMPTY[:3]), {1: "grpc 3"}),
    Case("a message shorter than it says", call(1, message=b"\0\0\0\0\x09abc"), {1: "grpc 3"}),
    Case("two messages", call(1, message=EMPTY * 2), {1: "grpc 3"}),
    Case("a message and a bit", call(1, message=EMPTY + b"\0"), {1: "grpc 3"}),
    Case("packed, and nobody said how", call(1, message=b"\x01" + EMPTY[1:]), {1: "grpc 3"}),
    Case("a flag that nobody knows", call(1, message=b"\x02" + EMPTY[1:]), {1: "grpc 3"}),
    Case("packed, and no gzip", call(1, fields(CHECK, ("grpc-encoding", "gzip")),
         b"\x01\0\0\0\x04oops"), {1: "grpc 3"}),
    Case("a message that says it is too large", call(1, message=b"\0\x00\x01\x00\x01"),
         {1: "grpc 8"}),
    Case("a message that says 4 GiB", call(1, message=b"\0\xff\xff\xff\xff"), {1: "grpc 8"}),
    Case("a message in too many pieces", head(1) + b"".join(
        frame(DATA, 0, 1, b"\0\0\0\x09\0") for _ in range(120)), {1: "grpc 8"}),
    Case("no protobuf", call(1, message=b"\0\0\0\0\x01\xff"), {1: "grpc 3"}),
    Case("more streams than allowed", b"".join(head(1 + 2 * n) for n in range(17)),
         {33: "reset REFUSED_STREAM"}),
]  # fmt: skip

STREAMS = [
    with_fields("an upper-case name", MALFORMED, ("X-A", "v")),
    with_fields("a blank in a name", MALFORMED, ("x a", "v")),
    with_fields("an empty name", MALFORMED, ("", "v")),
    with_fields("a line feed in a value", MALFORMED, ("x-a", "v\nb: c")),
    with_fields("a NUL in a value", MALFORMED, ("x-a", "v\0")),
    with_fields("a blank before a value", MALFORMED, ("x-a", " v")),
    with_fields("a blank after a value", MALFORMED, ("x-a", "v ")),
    with_fields("connection", MALFORMED, ("connection", "close")),
    with_fields("keep-alive", MALFORMED, ("keep-alive", "5")),
    with_fields("transfer-encoding", MALFORMED, ("transfer-encoding", "chunked")),
    with_fields("upgrade", MALFORMED, ("upgrade", "h2c")),
    with_fields("te of another kind", MALFORMED, te="gzip"),
    with_fields("a pseudo field after others", MALFORMED, (":path", "/a")),
    with_fields("a pseudo field that is none", MALFORMED, **{"--status": "200"}),
    with_fields("no method", MALFORMED, without=":method"),
    with_fields("no path", MALFORMED, without=":path"),
    with_fields("no scheme", MALFORMED, without=":scheme"),
    with_fields("an empty path", MALFORMED, **{"--path": ""}),
    with_fields("a line feed in the path", MALFORMED, **{"--path": "/a\n"}),
    with_fields("a length that is none", MALFORMED, ("content-length", "five")),
    with_fields("a length that is not kept", MALFORMED, ("content-length", "6")),
    Case("two paths", frame(HEADERS, WHOLE, 1, block([(":path", "/a"), *fields()])),
         {1: MALFORMED}),
    Case("trailers that do not end", head(1) + frame(HEADERS, WHOLE, 1, block([("x-a", "1")])),
         {1: MALFORMED}),
    Case("a pseudo field in trailers", head(1) + frame(DATA, 0, 1, EMPTY)
         + frame(HEADERS, WHOLE | END, 1, block([(":path", "/")])), {1: MALFORMED}),
    Case("a window widened by nothing", head(1) + frame(WINDOW, 0, 1, four(0)), {1: MALFORMED}),
    Case("a window over 2^31 - 1", head(1) + frame(WINDOW, 0, 1, four((1 << 31) - 1)),
         {1: "reset FLOW_CONTROL_ERROR"}),
    Case("the next call goes on", call(1, fields(CHECK, ("X-A", "v"))) + call(3),
         {1: MALFORMED, 3: "ok"}),
]  # fmt: skip

P, F, C = "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "COMPRESSION_ERROR"
BROKEN = [
    Case("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", {}, P, begins=False),
    Case("another preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", {}, P, begins=False),
    Case("no settings first", PREFACE + frame(PING, 0, 0, bytes(8)), {}, P, begins=False),
    Case("an acknowledgement first", PREFACE + frame(SETTINGS, ACK), {}, P, begins=False),
    Case("a frame that is too large", frame(DATA, 0, 1, bytes(16_385)), {}, F),
    Case("a frame that says it is too large", b"\xff\xff\xff\0\0\0\0\0\x01", {}, F),
    Case("DATA on no stream", frame(DATA, 0, 0, b"x"), {}, P),
    Case("DATA before a head", frame(DATA, 0, 1, b"x"), {}, P),
    Case("DATA after all", call(1) + frame(DATA, 0, 1, b"x"), {1: "ok"}, "STREAM_CLOSED"),
    Case("HEADERS on no stream", frame(HEADERS, WHOLE, 0, block(fields())), {}, P),
    Case("an even number", frame(HEADERS, WHOLE, 2, block(fields())), {}, P),
    Case("a number that went by", call(5) + call(3), {5: "ok"}, "STREAM_CLOSED"),
    Case("a number again", call(1) + call(1), {1: "ok"}, "STREAM_CLOSED"),
    Case("padding larger than the frame", head(1) + frame(DATA, PADDED, 1, b"\x05abc"), {}, P),
    Case("padding without a frame", head(1) + frame(DATA, PADDED, 1), {}, P),
    Case("padding of the head larger than it", frame(HEADERS, WHOLE | PADDED, 1, b"\xffx"), {}, P),
    Case("a weight that is cut short", frame(HEADERS, WHOLE | WEIGHED, 1, b"\0\0"), {}, F),
    Case("something between the pieces", frame(HEADERS, 0, 1, b"") + frame(PING, 0, 0, bytes(8)),
         {}, P),
    Case("another stream between the pieces", frame(HEADERS, 0, 1, b"") + head(3), {}, P),
    Case("a piece of another stream", frame(HEADERS, 0, 1) + frame(CONTINUATION, WHOLE, 3), {}, P),
    Case("a piece of nothing", frame(CONTINUATION, WHOLE, 1), {}, P),
    Case("pieces without end", frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1) * 100, {},
         "ENHANCE_YOUR_CALM"),
    Case("a head without end", frame(HEADERS, 0, 1)
         + frame(CONTINUATION, 0, 1, b"\x10\x01a\x7f\x81\x7d" + bytes(16_000)) * 3, {},
         "ENHANCE_YOUR_CALM"),
    Case("no HPACK", frame(HEADERS, WHOLE, 1, b"\xff" * 20), {}, C),
    Case("an index that is not there", frame(HEADERS, WHOLE, 1, b"\xc5"), {}, C),
    Case("the index 0", frame(HEADERS, WHOLE, 1, b"\x80"), {}, C),
    Case("a string that is cut short", frame(HEADERS, WHOLE, 1, b"\x00\x05ab"), {}, C),
    Case("a number without end", frame(HEADERS, WHOLE, 1, b"\x3f" + b"\xff" * 12), {}, C),
    Case("a table larger than allowed", frame(HEADERS, WHOLE, 1, b"\x3f\xff\xff\x03"), {}, C),
    Case("a table that changes within a head", frame(
        HEADERS, WHOLE, 1, block(fields()) + b"\x20"), {}, C),
    Case("a bomb of references", table_bomb(), {}, C),
    Case("trailers that are no HPACK", head(1) + frame(HEADERS, WHOLE | END, 1, b"\x80"), {}, C),
    Case("PRIORITY of a wrong size", frame(PRIORITY, 0, 1, bytes(4)), {}, F),
    Case("PRIORITY on no stream", frame(PRIORITY, 0, 0, bytes(5)), {}, P),
    Case("RST_STREAM of a wrong size", head(1) + frame(RST, 0, 1, bytes(3)), {}, F),
    Case("RST_STREAM on no stream", frame(RST, 0, 0, bytes(4)), {}, P),
    Case("RST_STREAM before a head", frame(RST, 0, 1, bytes(4)), {}, P),
    Case("SETTINGS of a wrong size", frame(SETTINGS, 0, 0, bytes(5)), {}, F),
    Case("SETTINGS on a stream", frame(SETTINGS, 0, 1), {}, P),
    Case("an acknowledgement with something in it", frame(SETTINGS, ACK, 0, bytes(6)), {}, F),
    Case("pushing neither on nor off", setting(2, 2), {}, P),
    Case("a first window over 2^31 - 1", setting(4, 1 << 31), {}, "FLOW_CONTROL_ERROR"),
    Case("frames smaller than the least", setting(5, 16_383), {}, P),
    Case("frames larger than the most", setting(5, 1 << 24), {}, P),
    Case("PUSH_PROMISE", frame(PUSH, WHOLE, 1, bytes(4)), {}, P),
    Case("PING of a wrong size", frame(PING, 0, 0, bytes(7)), {}, F),
    Case("PING on a stream", frame(PING, 0, 1, bytes(8)), {}, P),
    Case("GOAWAY of a wrong size", frame(GOAWAY, 0, 0, bytes(7)), {}, F),
    Case("GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), {}, P),
    Case("WINDOW_UPDATE of a wrong size", frame(WINDOW, 0, 0, bytes(3)), {}, F),
    Case("WINDOW_UPDATE before a head", frame(WINDOW, 0, 9, four(1)), {}, P),
    Case("WINDOW_UPDATE by nothing", frame(WINDOW, 0, 0, four(0)), {}, P),
    Case("a window of all over 2^31 - 1", frame(WINDOW, 0, 0, four((1 << 31) - 1)), {},
         "FLOW_CONTROL_ERROR"),
    Case("a first window that lifts another over it", head(1)
         + frame(WINDOW, 0, 1, four((1 << 31) - 1 - 65_535)) + setting(4, 65_536), {},
         "FLOW_CONTROL_ERROR"),
    Case("more than its window, after the answer", head(1, fields(LIVE))
         + frame(DATA, 0, 1, bytes(16_384)) * 65, {1: "ok"}, "FLOW_CONTROL_ERROR"),
    Case("empty pieces without end, after the answer", head(1, fields(LIVE))
         + frame(DATA, 0, 1) * 1100, {1: "ok"}, "ENHANCE_YOUR_CALM"),
    Case("pings without end", frame(PING, 0, 0, bytes(8)) * 9, {}, "ENHANCE_YOUR_CALM"),
    Case("settings without end", frame(SETTINGS) * 1100, {}, "ENHANCE_YOUR_CALM"),
    Case("priorities without end", frame(PRIORITY, 0, 1, bytes(5)) * 1100, {},
         "ENHANCE_YOUR_CALM"),
    Case("windows without end", frame(WINDOW, 0, 0, four(1)) * 1100, {}, "ENHANCE_YOUR_CALM"),
    Case("what nobody knows without end", frame(77) * 1100, {}, "ENHANCE_YOUR_CALM"),
]  # fmt: skip

CASES = [*VALID, *REFUSED, *STREAMS, *BROKEN]
