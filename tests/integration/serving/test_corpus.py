"""The corpus of raw requests, against a worker's own socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.corpus.raw import Case, cases
from tests.serving_rig import Wire, World, eventually, running

from shipway.serving.http.exchange import Application, Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal

CASES = {case.name: case for case in cases()}
LIMITS = Limits(
    max_head_bytes=8 << 10,
    max_headers=30,
    max_target_bytes=2 << 10,
    max_body_bytes=64 << 10,
    max_chunks=100,
    linger_s=10.0,
)
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


class Counting:
    """The application, and how often it was given a request."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.handled = 0

    def admit(self, exchange: Exchange) -> None:
        self._application.admit(exchange)

    def handle(self, exchange: Exchange, body: bytes | bytearray) -> None:
        self.handled += 1
        self._application.handle(exchange, body)

    def count_refused(self, refusal: Refusal) -> None:
        self._application.count_refused(refusal)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker with the limits of the corpus."""
    with running(tmp_path_factory.mktemp("run"), limits=LIMITS) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


@pytest.fixture
def application(world: World) -> Iterator[Counting]:
    """What is behind the connections of this test."""
    shared = world.worker._shared
    plane = shared.application
    shared.application = Counting(plane)
    yield shared.application
    shared.application = plane


def converse(wire: Wire, pieces: Iterator[bytes], case: Case, following: int) -> None:
    """Send *pieces*; the answers must be those of *case*, and then *following* good ones."""
    try:
        for piece in pieces:
            wire.send(piece)
    except ConnectionError:
        assert case.closes
    told = [wire.reply(head=case.bodyless).status for _ in case.answers]
    assert told == case.answers
    if case.closes:
        assert wire.ended()
    else:
        assert [wire.reply().status for _ in range(following)] == [200] * following
        assert wire.send(LIVEZ).reply().status == 200


def test_size() -> None:
    """There are more than enough cases, good and bad, each of a name of its own."""
    told = list(cases())
    assert len(told) == len(CASES)
    assert sum(case.closes for case in told) >= 140
    assert sum(not case.closes for case in told) >= 80


@pytest.mark.parametrize("name", CASES)
def test_at_once(world: World, application: Counting, name: str) -> None:
    """A request gets the answer that the corpus has, and the connection goes on or ends."""
    case = CASES[name]
    converse(world.wire(), iter([case.data]), case, 0)
    assert application.handled == case.handled + (not case.closes)


@pytest.mark.parametrize("name", CASES)
def test_byte_by_byte(world: World, application: Counting, name: str) -> None:
    """In segments of one byte a request gets the same answer."""
    case = CASES[name]
    wire = world.wire()
    converse(wire, (bytes([byte]) for byte in case.data), case, 0)
    assert application.handled == case.handled + (not case.closes)


@pytest.mark.parametrize("name", CASES)
def test_with_another_behind(world: World, application: Counting, name: str) -> None:
    """A good request in the same segment changes nothing, and is answered if its turn comes."""
    case = CASES[name]
    converse(world.wire(), iter([case.data + LIVEZ]), case, 1)
    assert application.handled == case.handled + 2 * (not case.closes)
