"""Memory under a million predictions: it does not grow, and a model that leaks is found."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.serving_rig import infer
from tests.soak.scale import sized
from tests.soak.worker import Running, started

PREDICTIONS = sized(40_000, 1_000_000)
WARM_UP = sized(20_000, 100_000)
DEPTH = 32
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Growth:
    """What memory did while *predictions* were made, the second half of them apart."""

    predictions: int
    total_bytes: int
    second_half_bytes: int

    @property
    def per_100k_bytes(self) -> float:
        """The slope of the second half."""
        return self.second_half_bytes / (self.predictions / 2) * 100_000


def ask(port: int, count: int) -> None:
    """Have *count* requests answered on one connection, a few at a time; all must be 200."""
    requests = infer() * DEPTH
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        left, tail = count, b""
        while left > 0:
            wire.sendall(requests)
            answered = 0
            while answered < DEPTH:
                data = wire.recv(1 << 16)
                assert data, "the server hung up"
                text = tail + data
                answered += text.count(b"HTTP/1.1 200 ")
                assert text.count(b"HTTP/1.1 ") == text.count(b"HTTP/1.1 200 "), text[:300]
                tail = text[-12:] if not text.endswith(b"HTTP/1.1 200 ") else b""
            left -= DEPTH


def predict(worker: Running, count: int, connections: int = 4) -> int:
    """Have *count* predictions made, then the memory that the worker has come to rest at."""
    threads = [
        threading.Thread(target=ask, args=(worker.port, count // connections))
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return worker.steady_rss_bytes()


def growth(worker: Running, predictions: int, warm_up: int) -> Growth:
    """How memory grows over *predictions* after *warm_up* others."""
    begin = predict(worker, warm_up)
    middle = predict(worker, predictions // 2)
    end = predict(worker, predictions // 2)
    return Growth(predictions, end - begin, end - middle)


def bounded(found: Growth) -> bool:
    """At most 20 MiB in all, and at most 1 MiB for 100,000 in the second half."""
    slack = 0.25 * MIB  # the allocator's own steps, which weigh on a short run
    allowed = MIB * max(1.0, found.predictions / 2 / 100_000) + slack
    return found.total_bytes <= 20 * MIB and found.second_half_bytes <= allowed


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """After its warm-up a worker takes no more memory, however much it predicts."""
    with started(tmp_path, "tidy") as worker:
        found = growth(worker, PREDICTIONS, WARM_UP)
    print(found)  # noqa: T201
    assert bounded(found), found


def test_a_leak_is_found(tmp_path: Path) -> None:
    """A model that keeps a kilobyte a row turns the same check red."""
    with started(tmp_path, "leaking") as worker:
        found = growth(worker, sized(20_000, 100_000), sized(2_000, 20_000))
    print(found)  # noqa: T201
    assert not bounded(found), found
