"""Lets operation number N fail, in each way that it can, and judges what is left behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from tests.survival.boundary import TAKES_SPACE, Step, Watcher, watched
from tests.survival.invariants import Records, breaches_at, records_at, untold
from tests.survival.operations import Operation, Place
from tests.survival.sql_layer import sql_watched
from tests.survival.sqlite_layer import reachable, sqlite_watched

from shipway.errors import ShipwayError
from shipway.registry.current import METADATA_FILE
from shipway.registry.restoring import restore

Result = TypeVar("Result")


class Way(StrEnum):
    """How an operation fails."""

    BEFORE = "once, a write half-way"  # and has done nothing else
    AFTER = "once, having done it"  # a reply that was lost on its way
    FULL = "from then on for lack of space"
    GONE = "from then on whatever it is"


@dataclass
class Injector:
    """A watcher that counts, and lets the operation number ``at`` fail in one way."""

    at: int = 0
    way: Way = Way.BEFORE
    seen: list[Step] = field(default_factory=list)
    failed: list[Step] = field(default_factory=list)

    def around(self, step: Step, do: Callable[[], Result], half: Callable[[], object]) -> Result:
        """See :class:`~tests.survival.boundary.Watcher`."""
        if step.kind == "close" and step.layer == "sqlite":
            return do()
        self.seen.append(step)
        count = len(self.seen)
        fails = count == self.at if self.way in (Way.BEFORE, Way.AFTER) else count >= self.at
        if not self.at or not fails or (self.way is Way.FULL and step.kind not in TAKES_SPACE):
            return do()
        self.failed.append(step)
        if self.way is Way.AFTER:
            made = do()
            if isinstance(made, AbstractContextManager):
                with made:  # a listing, which nobody gets to close
                    pass
        elif step.kind == "write":
            half()
        number = errno.ENOSPC if self.way is Way.FULL else errno.EIO
        if step.kind == "lock" and step.layer == "sqlite" and self.way is Way.BEFORE:
            number = errno.EAGAIN  # SQLite asks again, and then it is not refused
        raise OSError(number, os.strerror(number), step.path)


class Switch:
    """Hands on to whichever watcher is in place; to none, nothing is watched."""

    def __init__(self) -> None:
        self.watcher: Watcher | None = None

    def around(self, step: Step, do: Callable[[], Result], half: Callable[[], object]) -> Result:
        """See :class:`~tests.survival.boundary.Watcher`."""
        return do() if self.watcher is None else self.watcher.around(step, do, half)

    @contextmanager
    def on(self, watcher: Watcher) -> Iterator[None]:
        """Let *watcher* watch within the block."""
        self.watcher = watcher
        try:
            yield
        finally:
            self.watcher = None


@contextmanager
def switched(root: Path) -> Iterator[Switch]:
    """All statements pass the switch, and all files below *root*; SQLite's where it lets us."""
    switch = Switch()
    with ExitStack() as stack:
        stack.enter_context(watched(root, switch))
        stack.enter_context(sql_watched(switch))
        if reachable():
            stack.enter_context(sqlite_watched(root, switch))
        yield switch


@dataclass(frozen=True)
class Expected:
    """What an operation begins with, and what it leaves when all goes well."""

    template: Place
    before: Records
    after: Records
    steps: tuple[Step, ...]


def rehearsed(operation: Operation, folder: Path, switch: Switch) -> Expected:
    """Prepare *operation* and do it once without a fault, to see what it is made of."""
    template = Place(folder / "template")
    operation.prepare(template)
    before = records(template)
    place = template.copied(folder / "rehearsal")
    counter = Injector()
    with switch.on(counter):
        operation.run(place)
    assert place.acknowledged
    after = records(place)
    assert breaches_at(place.home) == []
    shutil.rmtree(place.folder)
    return Expected(template, before, after, tuple(counter.seen))


def records(place: Place) -> Records:
    """What the store at *place* has promised; nothing if there is none. It is read in a copy."""
    if not (place.home / METADATA_FILE).exists():
        return Records(frozenset())
    copy = place.copied(place.folder.with_name(f"{place.folder.name}-read"))
    try:
        return records_at(copy.home)
    finally:
        shutil.rmtree(copy.folder)


def inject(
    operation: Operation, expected: Expected, folder: Path, switch: Switch, at: int, way: Way
) -> tuple[bool, ShipwayError | None, list[str]]:
    """One run of *operation* whose step *at* fails: whether it did, the error, the breaches."""
    place = expected.template.copied(folder / "run")
    injector = Injector(at, way)
    found: list[str] = []
    told: ShipwayError | None = None
    try:
        with switch.on(injector):
            operation.run(place)
    except ShipwayError as error:
        told = error
        if not error.next_step:
            found.append(f"{error.code} names no next step")
    except Exception as error:
        found.append(f"raised {type(error).__name__}: {error}")
    first = next(iter(injector.failed), None)
    in_doubt = first is not None and (first.layer, first.kind) == ("sqlite", "sync")
    try:
        # A commit is written before it is synced: where that fails for good, nobody can undo it.
        found += judged(expected, place, Way.GONE if in_doubt and way is Way.FULL else way)
    finally:
        shutil.rmtree(place.folder)
    where = f"{operation.name}, step {at} ({next(iter(injector.failed), None)}), {way}"
    return bool(injector.failed), told, [f"{where}: {breach}" for breach in found]


def judged(expected: Expected, place: Place, way: Way) -> list[str]:
    """What is wrong at *place* after the accident, which is over."""
    if not (place.home / METADATA_FILE).exists():
        return ["acknowledged and not there"] if place.acknowledged else []
    found = [*breaches_at_copy(place), *_archive_breaches(expected, place)]
    if any("does not open" in breach for breach in found):
        return found
    found += untold_in_copy(expected, place)
    now = records(place)
    if place.acknowledged and now != expected.after:
        found.append("acknowledged, and something else is there")
    elif not place.acknowledged and now != expected.before:
        # A reply that was lost, or a disk on which nothing can be undone, leaves its user in
        # doubt; any other refusal must be one.
        if way in (Way.BEFORE, Way.FULL):
            found.append("refused, and something has changed")
        elif now != expected.after:
            found.append("neither as before nor as after")
    return found


def _archive_breaches(expected: Expected, place: Place) -> list[str]:
    """A backup is whole or not there."""
    if not place.archive.exists():
        return []
    home = place.folder.with_name(f"{place.folder.name}-restored")
    try:
        restore(place.archive, home)
        same = records_at(home) == expected.after
        return [] if same else ["the backup is of something else"]
    except ShipwayError as error:
        return [f"the backup cannot be restored: {error.message}"]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def untold_in_copy(expected: Expected, place: Place) -> list[str]:
    """What the store at *place* has changed and not told; a restored store tells of that alone."""
    if not expected.before.lines:
        return []
    copy = place.copied(place.folder.with_name(f"{place.folder.name}-told"))
    try:
        return untold(copy.home, expected.before)
    finally:
        shutil.rmtree(copy.folder)


def breaches_at_copy(place: Place) -> list[str]:
    """The breaches of the store at *place*, found in a copy of it."""
    copy = place.copied(place.folder.with_name(f"{place.folder.name}-used"))
    try:
        return breaches_at(copy.home)
    finally:
        shutil.rmtree(copy.folder)
