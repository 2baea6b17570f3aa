"""The power is cut at every moment of every operation, and the disk keeps what it likes.

What the operation wrote, synced and renamed is recorded once, SQLite's files included; every
state of the disk that may come of it is rebuilt in a folder, opened, checked and used.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.soak.scale import sized
from tests.survival.disk import Effect, State, Trace, Tracer, states
from tests.survival.injecting import Expected, Switch, Way, judged, rehearsed
from tests.survival.operations import BY_NAME, OPERATIONS, Operation, Place
from tests.survival.sqlite_layer import reachable

STATES = sized(25, 1_000)
"""So many for each operation."""

pytestmark = pytest.mark.skipif(
    not reachable(), reason="this Python keeps its SQLite to itself: use one that links to it"
)


def traced(operation: Operation, expected: Expected, folder: Path, switch: Switch) -> Trace:
    """What *operation* does to the disk."""
    place = expected.template.copied(folder / "traced")
    tracer = Tracer(place)
    with switch.on(tracer):
        operation.run(place)
    return tracer.finished()


def woken(expected: Expected, trace: Trace, state: State, folder: Path) -> list[str]:
    """What is wrong once the machine is up again in *state*."""
    place = Place(folder / "woken", acknowledged=state.cut >= trace.acknowledged_at)
    state.write(place.folder)
    try:
        found = judged(expected, place, Way.AFTER)
    finally:
        shutil.rmtree(place.folder)
    return [
        f"cut before {state.cut} of {len(trace.effects)}, {state.kind}: {each}" for each in found
    ]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_power_cuts(operation: Operation, folder: Path, switch: Switch) -> None:
    """Whatever the disk kept: all that was acknowledged, nothing half, and it opens and works."""
    expected = rehearsed(operation, folder, switch)
    trace = traced(operation, expected, folder, switch)
    breaches: list[str] = []
    count = 0
    for state in states(trace, operation.name, STATES):
        breaches += woken(expected, trace, state, folder)
        count += 1
    how = "sampled" if count == STATES else "all that were found"
    print(f"\n{operation.name}: {len(trace.effects)} effects, {count} states ({how})")  # noqa: T201
    assert breaches == []


def replay(name: str, folder: Path, switch: Switch, drop: Callable[[Effect], bool]) -> list[str]:
    """What comes of a program that does not do what *drop* says."""
    expected = rehearsed(BY_NAME[name], folder, switch)
    trace = traced(BY_NAME[name], expected, folder, switch).without(drop)
    found: list[str] = []
    for state in states(trace, "control", 1_000):
        found += woken(expected, trace, state, folder)
        if found:
            break
    return found


@pytest.mark.parametrize("name", ["publish", "promote", "restore"])
def test_without_any_sync(name: str, folder: Path, switch: Switch) -> None:
    """A control: a program that never syncs is found out."""
    assert replay(name, folder, switch, lambda effect: effect.what == "sync")


def test_without_syncing_blobs(folder: Path, switch: Switch) -> None:
    """A control: a publisher that syncs all but the content of its files is found out."""
    synced_alone = _Content()
    assert replay("publish", folder, switch, synced_alone.is_of_blob)


class _Content:
    """Finds the syncs of files that are then moved to another name."""

    def __init__(self) -> None:
        self._written: set[int] = set()

    def is_of_blob(self, effect: Effect) -> bool:
        """Whether *effect* syncs a file that was written in one go, as those of Python are."""
        if effect.what == "write":
            self._written ^= {effect.node}
        return effect.what == "sync" and effect.node in self._written
