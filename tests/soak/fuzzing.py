"""Requests of the corpus, mutated by chance: nothing may hang, crash or be our fault."""

from __future__ import annotations

import random
import re
import socket
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.corpus.raw import cases

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_NOT_OFFERED = {501, 505}
"""What a client asks for that HTTP has and this server has not; no fault of the server."""
_BITS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\r\n\r\n", b"0\r\n\r\n",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"\xff",
    b"HTTP/1.1", b"GET ", b"%", b"ffffffff", b"-1", b"Expect: 100-continue\r\n",
    b"Content-Encoding: gzip\r\n", b"Connection: close\r\n",
]  # fmt: skip


def seeds(largest: int = 2000) -> list[bytes]:
    """What is mutated: the smaller cases of the corpus."""
    return [case.data for case in cases() if len(case.data) <= largest]


def mutate(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """*data* with one to four changes."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        at = source.randint(0, len(changed))
        to = min(len(changed), at + source.randint(1, 12))
        match source.randrange(6):
            case 0:
                changed[at:at] = source.choice(_BITS)
            case 1:
                del changed[at:to]
            case 2:
                changed[at:at] = changed[at:to] * source.randint(1, 3)
            case 3 if at < len(changed):
                changed[at] ^= 1 << source.randrange(8)
            case 4:
                changed[at:to] = source.choice(_BITS)
            case _:
                other = source.choice(others)
                changed[at:] = other[source.randint(0, len(other)) :]
    return bytes(changed)


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """*count* mutated requests, the same ones for the same *seed*."""
    source, known = random.Random(seed), seeds()
    for _ in range(count):
        yield mutate(source, source.choice(known), known)


def fuzz(port: int, seed: int, count: int) -> Counter[int]:
    """Send *count* mutants, each on a connection of its own; how often each status came.

    Raises AssertionError with the mutant that the server did not end, or took as its own fault.
    """
    told: Counter[int] = Counter()
    for data in mutants(seed, count):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                answer = bytearray()
                while part := client.recv(65536):
                    answer += part
            except TimeoutError:
                raise AssertionError(f"the server hangs after {data!r}") from None
            except ConnectionError:
                pass
        statuses = [int(status) for status in _STATUS.findall(answer)]
        assert all(one < 500 or one in _NOT_OFFERED for one in statuses), (statuses, data)
        told.update(statuses)
    return told
