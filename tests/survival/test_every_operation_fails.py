"""The file or database operation number N fails, for every N: what is said is true, and holds.

What the operations are is counted first, in Python's files, in SQLite's own and in the
statements; then each fails in turn, in each of four ways. The short form takes some of them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.soak.scale import sized
from tests.survival.injecting import Expected, Switch, Way, inject, rehearsed
from tests.survival.operations import BY_NAME, OPERATIONS, Operation
from tests.survival.sqlite_layer import reachable

from shipway.errors import EnvironmentFailure, IntegrityError
from shipway.registry import registry as module
from shipway.registry.local_blobs import LocalBlobs

SOME = 5
"""So many steps for each way, in the short form."""


def chosen(expected: Expected, seed: str) -> list[int]:
    """The steps that fail: all of them, or some."""
    steps = range(1, len(expected.steps) + 1)
    drawn = random.Random(seed).sample(steps, min(SOME, len(steps)))
    return sized(0, 1) * list(steps) or sorted(drawn)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_fails(operation: Operation, folder: Path, switch: Switch) -> None:
    """A failure is told as an error with a code and a next step, or overcome; nothing is half."""
    expected = rehearsed(operation, folder, switch)
    breaches: list[str] = []
    told = Counter[str]()
    for way in Way:
        for at in chosen(expected, f"{operation.name} {way}"):
            happened, error, found = inject(operation, expected, folder, switch, at, way)
            if way in (Way.BEFORE, Way.AFTER):
                assert happened, f"step {at} is not always there"
            if error is not None and not isinstance(error, EnvironmentFailure | IntegrityError):
                found.append(f"{operation.name}, step {at}, {way}: {error.code} is no reason")
            told[error.code if error else "overcome"] += 1
            breaches += found
    layers = Counter(step.layer for step in expected.steps)
    print(f"\n{operation.name}: {dict(layers)} steps, {told.total()} faults, {dict(told)}")  # noqa: T201
    assert breaches == []
    assert told["overcome"] < told.total()


def test_all_three_doors_are_watched(folder: Path, switch: Switch) -> None:
    """Publishing passes by Python's files, SQLite's and the statements, each with what changes."""
    steps = rehearsed(BY_NAME["publish"], folder, switch).steps
    found = {(step.layer, step.kind) for step in steps}
    file = {("file", kind) for kind in ("create", "write", "sync", "rename", "lock", "read")}
    assert file | {("sql", "execute"), ("sql", "commit")} <= found
    if not reachable():
        pytest.skip("this Python keeps its SQLite to itself: its files are not watched")
    assert {("sqlite", kind) for kind in ("create", "write", "sync", "truncate", "unlink")} <= found


def faults_of(operation: Operation, folder: Path, switch: Switch) -> list[str]:
    """What the failures of *operation* come to, of those that create and write files."""
    expected = rehearsed(operation, folder, switch)
    found: list[str] = []
    for at, step in enumerate(expected.steps, start=1):
        if step.layer == "file" and step.kind in ("create", "write"):
            found += inject(operation, expected, folder, switch, at, Way.BEFORE)[2]
    return found


def test_records_before_bytes_are_found_out(
    folder: Path, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: a registry that writes the record before the bytes leaves half versions."""

    def wrong(
        blobs: LocalBlobs, prepare: Callable[[], tuple[Sequence[bytes], Callable[[], object]]]
    ) -> object:
        contents, append = prepare()
        made = append()
        blobs.put(contents)
        return made

    monkeypatch.setattr(module, "put_and_append", wrong)
    found = faults_of(BY_NAME["publish"], folder, switch)
    assert any("is half" in breach for breach in found), found
    assert any("refused, and something has changed" in breach for breach in found), found


def test_swallowed_errors_are_found_out(
    folder: Path, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: a blob store that believes every write of its own leaves half versions."""
    real = LocalBlobs.put

    def wrong(blobs: LocalBlobs, contents: Sequence[bytes]) -> tuple[str, ...]:
        try:
            return real(blobs, contents)
        except EnvironmentFailure:
            return ()

    monkeypatch.setattr(LocalBlobs, "put", wrong)
    found = faults_of(BY_NAME["publish"], folder, switch)
    assert any("is half" in breach for breach in found), found
