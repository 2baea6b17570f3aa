"""Many processes at one store, in each database: no gap, no double, nobody locked out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.databases import Postgres
from tests.soak.scale import sized

from shipway.registry.addresses import Addresses
from shipway.registry.opening import open_registry

ROOT = Path(__file__).parents[3]
OPENERS = 16
WRITERS = sized(4, 16)
PUBLISHES = sized(25, 500)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def address(request: pytest.FixtureRequest) -> str:
    """Where the records of an empty store are; "" for its folder."""
    if request.param == "sqlite":
        return ""
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.fresh()


def begun(program: str, address: str, *words: str) -> subprocess.Popen[str]:
    """*program* of this folder, at work on the store at *address*."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.integration.registry.{program}", *words],
        cwd=ROOT,
        env={**os.environ, "SHIPWAY_STORE__URL": address},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_sixteen_open_an_empty_store(tmp_path: Path, address: str) -> None:
    """Of 16 processes that open an empty store at once one migrates it, and all can use it."""
    openers = [begun("opener", address, str(tmp_path / "store")) for _ in range(OPENERS)]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("\n")
        opener.stdin.flush()
    outcomes = [opener.communicate(timeout=120) for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * OPENERS, outcomes
    said = [output.split() for output, _ in outcomes]
    assert sum("migrated" in words for words in said) == 1
    assert all(words[-1] == "opened" for words in said)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_publish_under_one_name(tmp_path: Path, address: str) -> None:
    """All of them together get each number from 1 on, once, and nobody is ever locked out."""
    home = tmp_path / "store"
    writers = [
        begun("publisher", address, str(home), f"writer {index}", str(PUBLISHES))
        for index in range(WRITERS)
    ]
    outcomes = [writer.communicate() for writer in writers]
    assert [errors for _, errors in outcomes] == [""] * WRITERS
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    lines = [line.split() for output, _ in outcomes for line in output.splitlines()]
    published = {int(number): digest for what, number, digest in lines if what == "published"}
    assert sorted(published) == list(range(1, WRITERS * PUBLISHES + 1))
    with open_registry(home, Addresses(records=address)) as registry:
        versions = registry.versions("flight-delay")
        assert {version.number: version.digest for version in versions} == published
        history = registry.history("production")
    assert [change.sequence for change in history] == list(range(1, len(history) + 1))
    assert [change.before for change in history[1:]] == [change.live for change in history[:-1]]
    moved = [(int(sequence), int(live)) for what, sequence, live in lines if what == "moved"]
    assert sorted(moved) == [(change.sequence, change.live) for change in history]
