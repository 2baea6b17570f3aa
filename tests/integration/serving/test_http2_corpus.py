"""The corpus of raw HTTP/2, against a worker's own socket; and any split and change of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import hpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.corpus.http2 import CASES, GOAWAY, HEADERS, PING, RST, VALID, Case, call
from tests.grpc_rig import Http2, frame
from tests.serving_rig import World, eventually, running
from tests.soak.scale import sized

from shipway.serving.http.limits import Limits
from shipway.serving.http2.conversation import Manners
from shipway.serving.http2.wire import Code
from shipway.serving.rpc.options import GrpcOptions

BY_NAME = {case.name: case for case in CASES}
LIMITS = Limits(max_head_bytes=8 << 10, max_headers=30, max_body_bytes=64 << 10, max_chunks=100)
OPTIONS = GrpcOptions(manners=Manners(max_streams=16))
_MARK = b"the mark"
_OURS = {"grpc 2", "grpc 13", "reset INTERNAL_ERROR"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker with the limits of the corpus."""
    run = tmp_path_factory.mktemp("run")
    with running(run, limits=LIMITS, grpc=OPTIONS) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


@dataclass
class Told:
    """What a connection was answered with."""

    streams: dict[int, str] = field(default_factory=dict)
    goaway: str | None = None


def told(world: World, pieces: Iterable[bytes], due: int) -> Told:
    """What *pieces* get, until *due* streams have ended and a ping has come back, or the end."""
    wire = Http2(world.grpc, first=b"")
    found, reader, marked = Told(), hpack.Decoder(), False
    try:
        for piece in (*pieces, frame(PING, 0, 0, _MARK)):
            if not wire.send(piece):
                break
        for kind, flags, number, payload in wire.frames():
            if kind == HEADERS:
                fields = dict(reader.decode(payload, raw=True))
                if flags & 1:
                    found.streams.setdefault(number, _ending(fields))
            elif kind == RST:
                code = Code(int.from_bytes(payload, "big"))
                if code is not Code.NO_ERROR:
                    found.streams.setdefault(number, f"reset {code.name}")
            elif kind == GOAWAY:
                found.goaway = Code(int.from_bytes(payload[4:8], "big")).name
                assert payload[8:]
            marked = marked or (kind == PING and payload == _MARK)
            if marked and len(found.streams) >= due:
                break
    finally:
        wire.close()
    return found


def _ending(fields: dict[bytes, bytes]) -> str:
    status = fields.get(b":status", b"200").decode()
    if status != "200":
        return f"http {status}"
    code = fields[b"grpc-status"].decode()
    return "ok" if code == "0" else f"grpc {code}"


def check(case: Case, found: Told) -> None:
    """What was told is what the corpus has."""
    assert found == Told(case.streams, case.goaway)


def test_size() -> None:
    """There are enough cases, good and bad, each of a name of its own."""
    assert len(BY_NAME) == len(CASES) >= 140
    assert sum(case.goaway is not None for case in CASES) >= 50


@pytest.mark.parametrize("name", BY_NAME)
def test_at_once(world: World, name: str) -> None:
    """What is sent gets what the corpus has, and the connection goes on or ends."""
    case = BY_NAME[name]
    check(case, told(world, [case.data], len(case.streams)))


@pytest.mark.parametrize("name", BY_NAME)
def test_byte_by_byte(world: World, name: str) -> None:
    """In segments of one byte, the same; of what is long, in segments of 97."""
    case = BY_NAME[name]
    step = 1 if len(case.data) < 4096 else 97
    pieces = [case.data[at : at + step] for at in range(0, len(case.data), step)]
    check(case, told(world, pieces, len(case.streams)))


@pytest.mark.parametrize("name", [case.name for case in CASES if case.goaway is None])
def test_with_another_behind(world: World, name: str) -> None:
    """Where the connection goes on, the call behind it is answered."""
    case = BY_NAME[name]
    full = "reset REFUSED_STREAM" in case.streams.values()
    streams = {**case.streams, 1001: "reset REFUSED_STREAM" if full else "ok"}
    found = told(world, [case.data + call(1001)], len(streams))
    check(Case(name, b"", streams), found)


@settings(
    max_examples=sized(60, 5_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(case=st.sampled_from(VALID), data=st.data())
def test_any_split(world: World, case: Case, data: st.DataObject) -> None:
    """However the bytes of a good exchange are cut, it is answered alike."""
    size = len(case.data)
    cuts = sorted(data.draw(st.sets(st.integers(1, size - 1), max_size=12)))
    pieces = [case.data[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
    check(case, told(world, pieces, len(case.streams)))


def test_whatever_comes_is_no_fault_of_ours(world: World) -> None:
    """Changed bytes anywhere: no answer blames the server, and the next connection is answered."""
    chance = random.Random(11)
    for _ in range(sized(300, 50_000)):
        data = bytearray(chance.choice(CASES).data)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 12)]
                case _:
                    data[at:at] = chance.randbytes(chance.randint(1, 12))
            if not data:
                break
        wire = Http2(world.grpc, first=b"")
        wire.send(bytes(data))
        wire.shut()
        reader = hpack.Decoder()
        for kind, flags, _, payload in wire.frames():
            if kind == HEADERS:
                fields = dict(reader.decode(payload, raw=True))
                assert not flags & 1 or _ending(fields) not in _OURS
            elif kind == RST:
                assert int.from_bytes(payload, "big") != Code.INTERNAL_ERROR
        wire.close()
    check(VALID[0], told(world, [VALID[0].data], 1))
