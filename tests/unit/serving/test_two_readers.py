"""What our reader takes, others take alike: whole and cut, known and unknown, ours and llhttp's."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import httptools
from tests.soak.fuzzing import mutants, seeds
from tests.soak.scale import sized
from tests.unit.serving.test_reading import Heard, feed

from shipway.serving.http.bodies import Room
from shipway.serving.http.limits import Limits
from shipway.serving.http.reading import RequestReader

LIMITS = Limits(max_head_bytes=8 << 10, max_headers=30, max_body_bytes=64 << 10, max_chunks=100)
GOOD = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
COUNT = sized(4000, 200_000)


def read(*pieces: bytes) -> Heard:
    """What is heard of *pieces* on one connection."""
    heard = Heard()
    reader = RequestReader(heard, heard, LIMITS, lambda: 0.0, Room(1 << 30))
    for piece in pieces:
        feed(reader, piece)
    return heard


@dataclass
class Other:
    """The requests that llhttp makes of some bytes, as long as it does not object."""

    told: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    _target: bytes = b""
    _body: bytes = b""

    def read(self, data: bytes) -> None:
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        self.told.append((self._parser.get_method(), self._target, self._body))


def test_cut() -> None:
    """However a request is cut, it is the same request, or ends with the same status."""
    source = random.Random(1)
    for data in [*seeds(), *mutants(21, COUNT)]:
        if b"content-encoding" in data.lower():
            continue  # a packed body may be at fault twice: too large, and unreadable
        at = sorted(source.randint(0, len(data)) for _ in range(source.randint(1, 5)))
        pieces = [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]
        whole, cut = read(data), read(*pieces)
        assert (cut.told, cut.continues) == (whole.told, whole.continues), data
        assert cut.broken_with == whole.broken_with, data
    print(f"{COUNT} mutants, each whole and cut: the same")  # noqa: T201


def test_known() -> None:
    """A head that was met before is read as if it had not been."""
    known = 0
    good = read(GOOD).told
    for data in [*seeds(), *mutants(22, COUNT)]:
        first = read(data)
        later = read(GOOD, GOOD, GOOD, data)
        assert (later.told, later.broken_with) == (good * 3 + first.told, first.broken_with), data
        if data.startswith(b"\r"):
            continue  # after one that ends with an empty line, that is one too many
        if first.told and read(data, GOOD).told == first.told + good:
            known += 1
            assert read(data, data, data, GOOD).told == first.told * 3 + good, data
    print(f"{COUNT} mutants, {known} of them known later: the same")  # noqa: T201
    assert known > 100


def test_llhttp() -> None:
    """Whatever we take as a request, a reader that others wrote takes as the same request."""
    compared = 0
    for data in [*seeds(), *mutants(23, COUNT)]:
        low = data.lower()
        if b"upgrade" in low or b"content-encoding" in low:
            continue  # llhttp stops there; we unpack
        other = Other()
        other.read(data)
        for ours, theirs in zip(read(data).told, other.told, strict=False):
            method, target, body = ours
            if method == "refused":
                continue
            compared += 1
            assert (method.encode(), body) == (theirs[0], theirs[2]), data
            assert theirs[1].endswith(target) or theirs[1].count(b"/") < 3, data
        assert len(read(data).told) <= len(other.told), data
    print(f"{COUNT} mutants, {compared} requests: llhttp has the same")  # noqa: T201
    assert compared > 500
