"""Counters that many processes add to and one reads, and that outlive the process that counts.

Each worker slot (``worker-0``) has one memory-mapped file: a field of float64 cells, and behind
it the names of the series that they belong to. Adding is a store to memory; a worker that was
killed loses nothing, and the one that takes its slot counts on, so that a sum over workers never
falls. prometheus_client's own multi-process mode was not taken: it needs an environment variable
before its import, makes files for each process id, and forgets what dead processes counted or
keeps their files for ever.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shipway.serving.metrics import CELLS, FAMILIES, Family

_CELL_BYTES = CELLS * 8
_NAMES_BYTES = 512 * 1024
_FILE_BYTES = _CELL_BYTES + _NAMES_BYTES
_SPARE = 64  # at least the cells of the widest family
SUFFIX = ".counters"


class SeriesName(msgspec.Struct, frozen=True, array_like=True):
    """A series: its family, the values of its labels, and its first cell."""

    family: str
    labels: tuple[str, ...]
    cell: int


@dataclass(frozen=True, slots=True)
class Series:
    """One series as it was read: a counter has one cell, a histogram its buckets and its sum."""

    family: Family
    labels: tuple[str, ...]
    cells: tuple[float, ...]


class Counter:
    """A number that only grows."""

    __slots__ = ("_cell", "_cells")

    def __init__(self, cells: memoryview[float], cell: int) -> None:
        self._cells, self._cell = cells, cell

    def add(self, amount: float = 1.0) -> None:
        """Add *amount*."""
        self._cells[self._cell] += amount

    def set(self, value: float) -> None:
        """Let it be *value*: of families whose newest value counts."""
        self._cells[self._cell] = value


class Histogram:
    """How often a value fell between fixed bounds, and the sum of all values."""

    __slots__ = ("_bounds", "_cell", "_cells", "_sum")

    def __init__(self, cells: memoryview[float], cell: int, bounds: tuple[float, ...]) -> None:
        self._cells, self._cell, self._bounds = cells, cell, bounds
        self._sum = cell + len(bounds) + 1

    def observe(self, value: float) -> None:
        """Count *value*, in the bucket whose upper bound is the first not below it."""
        cells = self._cells
        cells[self._cell + bisect_left(self._bounds, value)] += 1.0
        cells[self._sum] += value

    def observe_all(self, values: Sequence[float]) -> None:
        """Count each of *values*."""
        cells, first, bounds = self._cells, self._cell, self._bounds
        for value in values:
            cells[first + bisect_left(bounds, value)] += 1.0
        cells[self._sum] += sum(values)


class CounterFile:
    """The counters of one worker slot; made anew or counted on, by one process at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if path.stat().st_size != _FILE_BYTES:
                file.truncate(0)
                file.truncate(_FILE_BYTES)
            self._map = mmap.mmap(file.fileno(), _FILE_BYTES)
        self._view = memoryview(self._map)
        self._cells = self._view[:_CELL_BYTES].cast("d")
        self._known: dict[tuple[str, tuple[str, ...]], int] = {}
        self._next_cell = 0
        names, length = _names(self._view)
        for name in names:
            self._known[name.family, name.labels] = name.cell
            self._next_cell = name.cell + FAMILIES[name.family].cells
        self._names_end = _CELL_BYTES + length

    def counter(self, family: str, *labels: str) -> Counter:
        """The counter of *family* with these values of its labels, in their order."""
        return Counter(self._cells, self._cell(FAMILIES[family], labels))

    def histogram(self, family: str, *labels: str) -> Histogram:
        """The histogram of *family* with these values of its labels, in their order."""
        definition = FAMILIES[family]
        return Histogram(self._cells, self._cell(definition, labels), definition.buckets)

    def close(self) -> None:
        """Let go of the memory; the file stays."""
        self._cells.release()
        self._view.release()
        self._map.close()

    def _cell(self, family: Family, labels: tuple[str, ...]) -> int:
        """The first cell of a series; beyond what the file holds all share the unread end."""
        known = self._known.get((family.name, labels))
        if known is not None:
            return known
        line = msgspec.json.encode(SeriesName(family.name, labels, self._next_cell)) + b"\n"
        fits = self._names_end + len(line) < _FILE_BYTES
        if not fits or self._next_cell + family.cells > CELLS - _SPARE:
            return CELLS - _SPARE
        self._view[self._names_end : self._names_end + len(line)] = line
        cell, self._next_cell = self._next_cell, self._next_cell + family.cells
        self._names_end += len(line)
        self._known[family.name, labels] = cell
        return cell


def read_counters(folder: Path) -> Iterator[Series]:
    """Every series of every worker slot in *folder*; those of one name are to be summed."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        data = path.read_bytes()
        if len(data) != _FILE_BYTES:
            continue
        view = memoryview(data)
        cells = view[:_CELL_BYTES].cast("d")
        for name in _names(view)[0]:
            family = FAMILIES.get(name.family)
            if family is not None:
                values = tuple(cells[name.cell : name.cell + family.cells])
                yield Series(family, name.labels, values)


def wipe_counters(folder: Path) -> None:
    """Begin from zero: what a former server counted is not this one's."""
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)


def _names(view: memoryview) -> tuple[list[SeriesName], int]:
    """The names written so far, and the length of their text.

    Half a last line, of a process killed as it wrote it, is left out and will be written over.
    """
    text = bytes(view[_CELL_BYTES:])
    length = text.rfind(b"\n", 0, text.find(b"\0")) + 1
    lines = text[:length].splitlines()
    return [msgspec.json.decode(line, type=SeriesName) for line in lines], length
