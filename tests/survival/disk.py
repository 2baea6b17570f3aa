"""A disk as far as a power cut goes: what was done to it, and every state it may wake up in.

An operation's effects are written down in their order, and a power cut comes between two of
them, or into a write. What was synced by then is there. Of the rest each kind of file system
keeps what it likes:

- ``POSIX``: every effect stands for itself. A file's content is safe by a sync of the file alone,
  a name by a sync of its folder alone; a move between two folders may have done either half.
- ``JOURNAL`` (as ext4 by default): names and sizes are kept in their order, up to some moment
  that is not before the last sync of anything; contents are as free as above.

Of an unsynced write any sectors may be there and any not, whatever their order. That a move
within one folder is whole or not done is what POSIX promises and all of them keep.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from tests.survival.boundary import Step
from tests.survival.operations import Place

Result = TypeVar("Result")

SECTOR = 512
_LOST = ("metadata.sqlite3-shm",)  # shared memory: SQLite makes it anew and trusts none of it
_IDLE_ROUNDS = 40  # without a state that is new: then there is hardly one left
Entry = tuple[int, str]


class Kind(StrEnum):
    """What a file system promises."""

    POSIX = "posix"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that happened: names changed, bytes written, a size set, or a sync."""

    what: str
    node: int = -1
    names: tuple[tuple[Entry, int | None], ...] = ()
    offset: int = 0
    data: bytes = b""


@dataclass
class Trace:
    """The disk before an operation, and what the operation did to it."""

    root: int = 0
    files: dict[int, bytes] = field(default_factory=dict)
    folders: set[int] = field(default_factory=lambda: {0})
    names: dict[Entry, int] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    acknowledged_at: int = -1

    def without(self, drop: Callable[[Effect], bool]) -> Trace:
        """The trace of a program that does not do what *drop* says."""
        kept = [effect for effect in self.effects if not drop(effect)]
        before = self.effects[: self.acknowledged_at]
        at = sum(not drop(effect) for effect in before)
        return replace(self, effects=kept, acknowledged_at=at)


class Tracer:
    """A watcher that writes down what is done to everything in the folder of *place*."""

    def __init__(self, place: Place) -> None:
        self._place, self._count = place, 1
        self._nodes: dict[str, int] = {str(place.folder): 0}
        self.trace = Trace()
        for folder, folders, files in os.walk(place.folder):
            for name in (*folders, *files):
                path = f"{folder}/{name}"
                node = self._new(path)
                self.trace.names[self._nodes[folder], name] = node
                if name in files:
                    self.trace.files[node] = Path(path).read_bytes()
                else:
                    self.trace.folders.add(node)

    def around(self, step: Step, do: Callable[[], Result], half: Callable[[], object]) -> Result:
        """See :class:`~tests.survival.boundary.Watcher`."""
        self._look_for_acknowledgement()
        result = do()
        if step.changes and not step.path.endswith(_LOST):
            self._note(step)
        return result

    def finished(self) -> Trace:
        """All of it."""
        self._look_for_acknowledgement()
        return self.trace

    def _look_for_acknowledgement(self) -> None:
        if self._place.acknowledged and self.trace.acknowledged_at < 0:
            self.trace.acknowledged_at = len(self.trace.effects)

    def _new(self, path: str) -> int:
        self._nodes[path] = self._count
        self._count += 1
        return self._nodes[path]

    def _entry(self, path: str) -> Entry:
        folder, _, name = path.rpartition("/")
        return self._nodes[folder], name

    def _note(self, step: Step) -> None:
        effects = self.trace.effects
        node = self._nodes.get(step.path, -1)
        if step.kind in ("create", "mkdir"):
            if os.path.lexists(step.path) and node < 0:
                node = self._new(step.path)
                effects.append(_named((self._entry(step.path), node)))
                if step.kind == "mkdir":
                    self.trace.folders.add(node)
        elif node < 0:
            return  # a file without a name, which a power cut takes anyway
        elif step.kind == "write":
            effects.append(Effect("write", node, offset=step.offset, data=step.data))
        elif step.kind == "truncate":
            effects.append(Effect("size", node, offset=step.offset))
        elif step.kind == "sync":
            effects.append(Effect("sync", node))
        elif step.kind in ("unlink", "rmdir"):
            effects.append(_named((self._entry(step.path), None)))
            del self._nodes[step.path]
        elif step.kind == "link":
            self._nodes[step.target] = node
            effects.append(_named((self._entry(step.target), node)))
        elif step.kind == "rename":
            source, target = self._entry(step.path), self._entry(step.target)
            if source[0] == target[0]:
                effects.append(_named((source, None), (target, node)))
            else:
                effects.extend([_named((target, node)), _named((source, None))])
            self._move(step.path, step.target)

    def _move(self, source: str, target: str) -> None:
        moved = {
            path: node
            for path, node in self._nodes.items()
            if path == source or path.startswith(f"{source}/")
        }
        for path in moved:
            del self._nodes[path]
        for path, node in moved.items():
            self._nodes[target + path[len(source) :]] = node


def _named(*names: tuple[Entry, int | None]) -> Effect:
    return Effect("names", names=names)


@dataclass(frozen=True)
class State:
    """What is found after a power cut: each file's content by its path, and the folders."""

    cut: int
    kind: Kind
    files: Mapping[str, bytes]
    folders: Sequence[str]

    @property
    def digest(self) -> str:
        """The same for the same content."""
        told = hashlib.sha256()
        for path in sorted(self.folders):
            told.update(f"/{path}".encode())
        for path in sorted(self.files):
            told.update(path.encode() + hashlib.sha256(self.files[path]).digest())
        return told.hexdigest()

    def write(self, folder: Path) -> None:
        """Make *folder* look like this."""
        folder.mkdir(mode=0o700)
        for path in sorted(self.folders):
            (folder / path).mkdir(mode=0o700)
        for path, content in self.files.items():
            (folder / path).write_bytes(content)


def states(trace: Trace, seed: str, count: int) -> Iterator[State]:
    """*count* different states, or all that were found where there are fewer.

    Each cut is visited in turn, by both kinds of file system: with nothing kept that need not be,
    with everything, and then by chance.
    """
    chance = random.Random(seed)
    seen: set[str] = set()
    cuts = list(range(len(trace.effects) + 1))
    shares: list[float] = [0.0, 1.0]
    idle = 0
    while len(seen) < count and idle < _IDLE_ROUNDS:
        before = len(seen)
        chance.shuffle(cuts)
        for cut in cuts:
            for kind in Kind:
                for share in shares:
                    state = _cut(trace, cut, kind, share, chance)
                    if state.digest not in seen and len(seen) < count:
                        seen.add(state.digest)
                        yield state
        shares = [chance.random()]
        idle = idle + 1 if len(seen) == before else 0


def _cut(trace: Trace, cut: int, kind: Kind, share: float, chance: random.Random) -> State:
    """The state after a power cut before effect *cut*; of what may be lost *share* is kept."""
    done = trace.effects[:cut]
    synced: dict[int, int] = {}
    last_sync = -1
    for at, effect in enumerate(done):
        if effect.what == "sync":
            synced[effect.node] = last_sync = at
    files = {node: bytearray(content) for node, content in trace.files.items()}
    names = dict(trace.names)
    journalled = last_sync + round(
        (cut - last_sync) * (share if share in (0, 1) else chance.random())
    )

    def kept(at: int, nodes: Sequence[int]) -> bool:
        if kind is Kind.JOURNAL:
            return at <= journalled
        return all(synced.get(node, -1) > at for node in nodes) or chance.random() < share

    for at, effect in enumerate(done):
        if effect.what == "names":
            if kept(at, [folder for (folder, _), _ in effect.names]):
                _rename(names, effect)
        elif effect.what == "size":
            if synced.get(effect.node, -1) > at or kept(at, [effect.node]):
                _resize(files.setdefault(effect.node, bytearray()), effect.offset)
        elif effect.what == "write":
            safe = synced.get(effect.node, -1) > at
            _put(files.setdefault(effect.node, bytearray()), effect, 1.0 if safe else share, chance)
    found, folders = _found(trace, files, names)
    return State(cut, kind, found, folders)


def _rename(names: dict[Entry, int], effect: Effect) -> None:
    for entry, node in effect.names:
        if node is None:
            names.pop(entry, None)
        else:
            names[entry] = node


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _put(content: bytearray, effect: Effect, share: float, chance: random.Random) -> None:
    """Write the sectors that are kept; one that is not shows what was there, or nothing."""
    end = effect.offset + len(effect.data)
    at = effect.offset
    while at < end:
        to = min(end, (at // SECTOR + 1) * SECTOR)
        if share == 1.0 or chance.random() < share:
            if len(content) < to:
                content.extend(bytes(to - len(content)))
            content[at:to] = effect.data[at - effect.offset : to - effect.offset]
        at = to


def _found(
    trace: Trace, files: dict[int, bytearray], names: dict[Entry, int]
) -> tuple[dict[str, bytes], list[str]]:
    """The files and the folders that can be reached from the root."""
    inside: dict[int, list[tuple[str, int]]] = {}
    for (folder, name), node in names.items():
        inside.setdefault(folder, []).append((name, node))
    found: dict[str, bytes] = {}
    folders: list[str] = []
    waiting = [("", trace.root)]
    while waiting:
        path, node = waiting.pop()
        for name, child in inside.get(node, []):
            below = f"{path}{name}"
            if child in trace.folders:
                folders.append(below)
                waiting.append((f"{below}/", child))
            else:
                found[below] = bytes(files.get(child, b""))
    return found, folders
