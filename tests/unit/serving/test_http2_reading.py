"""Frames and heads of HTTP/2, without a socket."""

from __future__ import annotations

from itertools import pairwise

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grpc_rig import PREFACE, frame

from shipway.serving.http.limits import Limits
from shipway.serving.http2.calm import BUDGET, Calm
from shipway.serving.http2.heads import HeadReader
from shipway.serving.http2.reading import FrameReader
from shipway.serving.http2.wire import Code, ConnectionBroken, StreamBroken

FIELDS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a/B"),
    ("te", "trailers"),
    ("authorization", "Bearer k"),
]


class Heard:
    """What a reader has told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def head(self, stream_id: int, block: bytes, *, end: bool) -> None:
        self.told.append(("head", stream_id, block, end))

    def data(self, stream_id: int, data: bytes, at: int, stop: int, size: int, end: bool) -> None:
        self.told.append(("data", stream_id, data[at:stop], size, end))

    def control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        self.told.append((kind, flags, stream_id, payload))


def reading() -> tuple[FrameReader, Heard]:
    """A reader and who is told."""
    heard = Heard()
    return FrameReader(heard, 1000), heard


EXCHANGE = (
    PREFACE
    + frame(4)
    + frame(1, 0, 1, b"he")
    + frame(9, 4, 1, b"ad")
    + frame(0, 8, 1, b"\x02pay\0\0")
    + frame(0, 1, 1, b"load")
    + frame(6, 0, 0, b"12345678")
)


@given(st.sets(st.integers(1, len(EXCHANGE) - 1)))
def test_any_split_reads_alike(cuts: set[int]) -> None:
    """However bytes come, the same frames are told, heads whole and bodies without padding."""
    reader, heard = reading()
    places = [0, *sorted(cuts), len(EXCHANGE)]
    for start, stop in pairwise(places):
        reader.feed(EXCHANGE[start:stop])
    assert heard.told == [
        (4, 0, 0, b""),
        ("head", 1, b"head", False),
        ("data", 1, b"pay", 6, False),
        ("data", 1, b"load", 4, True),
        (6, 0, 0, b"12345678"),
    ]
    assert not reader.incomplete


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Whatever follows the settings is read, waited for or refused; nothing else is raised."""
    reader, _ = reading()
    reader.feed(PREFACE + frame(4))
    code = Code.NO_ERROR
    try:
        reader.feed(data)
    except ConnectionBroken as broken:
        code = broken.code
    assert code in (Code.NO_ERROR, Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR)


def test_what_is_not_whole() -> None:
    """A reader knows that something has begun, and whether it is a head in pieces."""
    reader, _ = reading()
    reader.feed(PREFACE + frame(4)[:4])
    assert (reader.begun, reader.incomplete) == (False, True)
    reader.feed(frame(4)[4:])
    assert (reader.begun, reader.incomplete, reader.moved) == (True, False, True)
    reader.feed(frame(1, 0, 1, b"x"))
    assert (reader.incomplete, reader.in_head) == (True, True)


@given(st.binary(max_size=120))
def test_any_block(data: bytes) -> None:
    """Any bytes are a head, or refused as one of a stream or of the connection."""
    reader = HeadReader(Limits())
    try:
        reader.read(data)
    except (ConnectionBroken, StreamBroken):
        return


def test_heads_are_remembered() -> None:
    """A block met again is the same head, as long as it means the same."""
    reader, encoder = HeadReader(Limits()), hpack.Encoder()
    first, second = encoder.encode(FIELDS), encoder.encode(FIELDS)
    once = reader.read(first)
    again = reader.read(second)
    assert (once.path, once.headers) == (again.path, again.headers)
    assert reader.read(second) is again


def test_a_table_that_changes() -> None:
    """When the table changes, the same bytes mean something else, and are read anew."""
    reader, encoder = HeadReader(Limits()), hpack.Encoder()
    reader.read(encoder.encode(FIELDS))
    known = encoder.encode(FIELDS)
    assert reader.read(known).headers[b"authorization"] == b"Bearer k"
    reader.read(encoder.encode([*FIELDS[:4], ("authorization", "Bearer other")]))
    with pytest.raises(StreamBroken):  # what meant the path before means another field now
        reader.read(known)


def test_what_is_not_indexed_does_not_change_what_is_known() -> None:
    """A timeout that varies from call to call leaves the rest of the memory as it was."""
    reader, encoder = HeadReader(Limits()), hpack.Encoder()
    reader.read(encoder.encode(FIELDS))
    known = encoder.encode(FIELDS)
    head = reader.read(known)
    for number in range(5):
        varied = known + b"\x00\x0cgrpc-timeout\x02" + f"{number}S".encode()
        assert reader.read(varied).headers[b"grpc-timeout"] == f"{number}S".encode()
    assert reader.read(known) is head


def test_the_memory_is_bounded() -> None:
    """Of heads that all differ only a few are kept, and none that is long."""
    reader, encoder = HeadReader(Limits()), hpack.Encoder()
    for number in range(100):
        reader.read(encoder.encode([*FIELDS[:4], ("x-a", str(number), True)]))
    reader.read(encoder.encode([*FIELDS[:4], ("x-a", "v" * 9000, True)], huffman=False))
    assert len(reader._known) <= 8


def test_more_than_the_limits() -> None:
    """A head above the limits is said to be so, and nothing of it is kept."""
    reader = HeadReader(Limits(max_headers=6))
    many = [*FIELDS, *((f"x-{n}", "v") for n in range(9))]
    head = reader.read(hpack.Encoder().encode(many))
    assert head.excess
    assert head.headers == {}


def test_calm() -> None:
    """What leads to nothing takes from a budget that time and answers fill."""
    now = 0.0
    calm = Calm(lambda: now, 10.0)
    for _ in range(BUDGET):
        calm.spend()
    with pytest.raises(ConnectionBroken):
        calm.spend()
    now = 10.0
    for _ in range(300):
        calm.spend()
    calm.worked += 500
    for _ in range(500):
        calm.spend()


def test_pings() -> None:
    """Pings may come once an interval and after each answer; the third too many ends it."""
    now = 0.0
    calm = Calm(lambda: now, 10.0)
    for _ in range(20):
        calm.ping()
        calm.worked += 1
    for _ in range(20):
        now += 10.0
        calm.ping()
    calm.ping()
    calm.ping()
    with pytest.raises(ConnectionBroken, match="too_many_pings"):
        calm.ping()
