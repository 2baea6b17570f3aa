"""Clients move endpoints at once, some are killed or stopped: each endpoint is one register."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.soak.scale import sized
from tests.stores import NOW, files, manifest
from tests.survival.clients import MODEL, VERSIONS
from tests.survival.linearizable import Asked, linearizable
from tests.survival.zygote import Zygote

from shipway.registry.addresses import Addresses
from shipway.registry.opening import open_registry
from shipway.registry.records import EndpointChange
from shipway.registry.sql import endpoints as sql_endpoints

HISTORIES = sized(2, 50)
OPERATIONS = sized(150, 2_000)
"""In each history, over its endpoints."""
CLIENTS = 5
ENDPOINTS = ["production", "staging"]


def move(called: int, returned: int | None, expected: int, live: int, sequence: int) -> Asked:
    """A move; to *sequence* 0 it was a conflict, or has no answer."""
    answer = (sequence, live) if sequence else None
    return Asked(
        kind="move",
        called=called,
        returned=returned,
        expected=expected,
        live=live,
        answer=answer,
    )


def look(called: int, returned: int, sequence: int, live: int) -> Asked:
    return Asked(kind="look", called=called, returned=returned, answer=(sequence, live))


@pytest.mark.parametrize(
    "history",
    [
        [move(0, 1, 0, 7, 1), look(2, 3, 1, 7), move(4, 5, 1, 8, 2), look(6, 7, 2, 8)],
        [move(0, 9, 0, 7, 1), look(1, 2, 0, 0), look(3, 4, 1, 7)],
        [move(0, 9, 0, 7, 1), move(1, 8, 0, 6, 0), look(2, 3, 0, 0)],
        [move(0, None, 0, 7, 0), look(1, 2, 0, 0), look(3, 4, 1, 7)],
        [move(0, None, 0, 7, 0), look(1, 2, 0, 0), look(3, 4, 0, 0)],
        [move(0, 1, 0, 7, 1), move(2, 3, 1, 7, 1), look(4, 5, 1, 7)],
    ],
    ids=["in turn", "at once", "one of two", "killed, later done", "killed, never", "no change"],
)
def test_what_can_be_is_believed(history: list[Asked]) -> None:
    """A history that some order explains is accepted, whatever became of what was not answered."""
    assert linearizable(history)


@pytest.mark.parametrize(
    "history",
    [
        [move(0, 1, 0, 7, 1), look(2, 3, 0, 0)],
        [move(0, 3, 0, 7, 1), move(1, 4, 0, 6, 1)],
        [move(0, 9, 0, 7, 1), look(1, 2, 1, 7), look(3, 4, 0, 0)],
        [move(0, 1, 0, 7, 1), move(2, 3, 1, 8, 0), look(4, 5, 1, 7)],
        [move(0, None, 0, 7, 0), look(1, 2, 1, 7), look(3, 4, 0, 0)],
        [look(0, 1, 1, 7), move(2, None, 0, 7, 0)],
    ],
    ids=[
        "an old answer",
        "two of two",
        "back in time",
        "a conflict with nobody",
        "killed, done and undone",
        "seen before it was asked",
    ],
)
def test_what_cannot_be_is_found_out(history: list[Asked]) -> None:
    """A control: a history that no order explains is refused."""
    assert not linearizable(history)


def test_long_histories_are_searched_quickly() -> None:
    """Two thousand operations of five clients are explained, and one wrong answer is found."""
    history = register(2_000)
    assert linearizable(history)
    wrong = history[1_000]
    history[1_000] = look(wrong.called, wrong.called + 1, 5, 99)
    assert not linearizable(history)


def register(count: int) -> list[Asked]:
    """A history of a true register, whose calls overlap."""
    chance, state, history = random.Random(7), (0, 0), list[Asked]()
    for at in range(count):
        called, returned = at * 10 - chance.randrange(30), at * 10 + 1 + chance.randrange(30)
        if chance.random() < 0.5:
            history.append(look(called, returned, *state))
            continue
        expected, live = state[0] - chance.randint(0, 1), chance.randint(1, 4)
        wins = expected == state[0]
        if wins and not (state[0] and state[1] == live):
            state = (state[0] + 1, live)
        history.append(move(called, returned, expected, live, state[0] if wins else 0))
    return history


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def records(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the address of new records; "" for those of the folder."""
    if request.param == "sqlite":
        return lambda: ""
    cluster = request.getfixturevalue("postgres")
    fresh: Callable[[], str] = cluster.fresh
    return fresh


def prepare(home: Path, address: str) -> None:
    """A store with versions that endpoints may be moved to."""
    with open_registry(home, Addresses(records=address)) as registry:
        for seed in "abcd"[:VERSIONS]:
            contents = files(seed)
            registry.publish(manifest(contents, model=MODEL), contents, by="anna", now=NOW)


def happened(notes: Path) -> dict[str, list[Asked]]:
    """What the clients have noted, for each endpoint; a look without an answer tells nothing."""
    found: dict[str, list[Asked]] = defaultdict(list)
    for file in sorted(notes.glob("*.notes")):
        *whole, _cut = file.read_bytes().split(b"\n")
        lines = [json.loads(line) for line in whole]
        for place, line in enumerate(lines):
            if "endpoint" not in line:
                continue
            answer = lines[place + 1] if place + 1 < len(lines) else {}
            if line["kind"] == "look" and not answer:
                continue
            told = answer.get("answer")
            found[line["endpoint"]].append(
                Asked(
                    kind=line["kind"],
                    called=line["at"],
                    returned=answer.get("at"),
                    expected=line.get("expected", 0),
                    live=line.get("live", 0),
                    answer=None if told is None else (told[0], told[1]),
                )
            )
    return found


def disturbed(zygote: Zygote, folder: Path, address: str, seed: str) -> dict[str, list[Asked]]:
    """What clients were told that were killed and stopped now and then."""
    chance = random.Random(seed)
    notes = folder / "notes"
    notes.mkdir()
    started = 0
    while started < CLIENTS or zygote.running:
        while len(zygote.running) < CLIENTS and asked_in(notes) < OPERATIONS:
            name = f"{seed}-{started}"
            started += 1
            zygote.start(
                str(folder / "store"),
                address,
                str(notes / f"{name}.notes"),
                name,
                ENDPOINTS,
                OPERATIONS // CLIENTS,
            )
        time.sleep(chance.uniform(0.01, 0.08))
        for pid in zygote.running:
            if not Path(f"/proc/{pid}").exists() or _ended(pid):
                assert zygote.wait(pid) == 0
        if asked_in(notes) >= OPERATIONS or not zygote.running:
            continue
        pid = chance.choice(zygote.running)
        if _ended(pid):
            continue
        if chance.random() < 0.5:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0.0, 0.1))
            os.kill(pid, signal.SIGCONT)
        elif chance.random() < 0.5:
            os.kill(pid, signal.SIGKILL)
            zygote.wait(pid)
    return happened(notes)


def _ended(pid: int) -> bool:
    """Whether *pid* has ended and is waited for."""
    status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return status.rpartition(")")[2].split()[0] == "Z"


def asked_in(notes: Path) -> int:
    """How often the clients have asked."""
    return sum(file.read_bytes().count(b'"endpoint"') for file in notes.glob("*.notes"))


def test_endpoints_are_registers(tmp_path: Path, records: Callable[[], str]) -> None:
    """Every history of looks and moves, with kills and pauses, has an order that explains it."""
    told = Counter[str]()
    with Zygote("tests.survival.clients") as zygote:
        for number in range(HISTORIES):
            folder = tmp_path / f"{number}"
            address = records()
            prepare(folder / "store", address)
            for endpoint, history in disturbed(zygote, folder, address, f"s{number}").items():
                assert linearizable(history), f"history {number} of {endpoint}"
                told["operations"] += len(history)
                told["made"] += sum(
                    each.kind == "move" and each.answer is not None for each in history
                )
                told["unanswered"] += sum(each.returned is None for each in history)
            told["histories"] += 1
    print(f"\n{dict(told)}")  # noqa: T201
    assert told["operations"] >= HISTORIES * OPERATIONS * 0.9
    assert told["made"] > told["operations"] // 20


def test_a_lost_update_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: where comparing and setting are two transactions, some history is refused."""
    prepare(tmp_path / "store", "")
    real = sql_endpoints.SqlEndpoints.append

    def wrong(log: sql_endpoints.SqlEndpoints, change: EndpointChange) -> bool:
        at = len(log.history(change.endpoint)) + 1
        changed = msgspec.structs.replace(change, sequence=at)
        return real(log, changed)

    monkeypatch.setattr(sql_endpoints.SqlEndpoints, "append", wrong)
    with (
        open_registry(tmp_path / "store") as one,
        open_registry(tmp_path / "store") as other,
    ):
        history: list[Asked] = []
        for at, (registry, live) in enumerate([(one, 1), (other, 2)]):
            # Both rest on the same look: the second overtakes what the first has read.
            monkeypatch.setattr(registry.stores[0].endpoints, "last", lambda _name: None)
            state = registry.move_endpoint(
                "production",
                model=MODEL,
                expected=0,
                live=live,
                action="promote",
                by="anna",
                reason="",
                evidence=None,
                now=NOW,
            )
            history.append(move(at, 10 + at, 0, live, state.sequence))
    assert not linearizable(history)
