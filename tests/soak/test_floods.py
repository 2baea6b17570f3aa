"""Floods of what is refused, slow clients and mutated requests, against a worker's process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving_rig import eventually
from tests.soak.floods import COSTLY, CROWDS, LIMITS, PATHS, begun_bodies, flood, is_well
from tests.soak.fuzzing import fuzz
from tests.soak.loris import BODY, HEAD, besiege, good_traffic
from tests.soak.scale import sized
from tests.soak.worker import Running, started

from shipway.serving.http.limits import Limits


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker in a process of its own."""
    with started(tmp_path_factory.mktemp("home"), "tidy", LIMITS) as running:
        yield running


@pytest.mark.parametrize("name", PATHS)
def test_refusals_leave_nothing(server: Running, name: str) -> None:
    """Being refused a hundred times leaves less than a mebibyte in the server, however it was."""
    short = 2 if name in CROWDS else 10 if name in COSTLY else 100
    growth = flood(server, name, times=sized(short, 100))
    print(growth)  # noqa: T201
    assert growth.grown_bytes < 1 << 20, growth


def test_memory_that_is_kept_is_seen(server: Running) -> None:
    """The measurement itself turns red when something stays: here, bodies begun."""
    before = server.rss_bytes()
    with begun_bodies(server.port, count=10, size=1 << 20):
        eventually(lambda: server.rss_bytes() - before > 4 << 20)


@pytest.mark.parametrize(("data", "begin"), [(HEAD, 10), (BODY, 80)], ids=["head", "body"])
def test_slow_clients(tmp_path: Path, data: bytes, begin: int) -> None:
    """All who send a byte now and then are cut, and good requests beside them do not suffer."""
    limits = Limits(
        header_timeout_s=sized(1.0, Limits().header_timeout_s),
        receive_grace_s=sized(0.5, Limits().receive_grace_s),
    )
    connections = sized(100, 500)
    with (
        started(tmp_path, "tidy", limits) as server,
        good_traffic(server.port) as traffic,
    ):
        siege = besiege(
            server.port,
            data,
            connections=connections,
            begin=begin,
            every_s=sized(0.05, 0.5),
            give_up_s=sized(40.0, 15.0),
        )
    print(siege, f"{traffic.answered} good requests, {len(traffic.errors)} errors")  # noqa: T201
    assert siege.cut == connections, siege
    assert not traffic.errors
    assert traffic.answered


def test_fuzzing(server: Running) -> None:
    """Mutated requests are answered by what they are; none hangs, crashes or is our fault."""
    told = fuzz(server.port, seed=20, count=sized(3000, 200_000))
    print(dict(told))  # noqa: T201
    assert len(told) > 8, told
    assert is_well(server.port)
