"""What a source gives: some rows that follow each other, typed, and what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from shipway.contract.violations import Violation

Faults = dict[int, list[Violation]]
"""What is wrong with each bad row of a chunk, by its place in the chunk, in order."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one file.

    ``frame`` has them with their types, ``faults`` what could not be read so; ``raw`` gives the
    rows at some places as they came. ``file`` counts the files of the source from 0.
    """

    frame: pl.DataFrame
    faults: Faults
    raw: Callable[[list[int]], pl.DataFrame]
    file: int = 0


def in_sizes(batches: Iterator[pl.DataFrame], size: int) -> Iterator[pl.DataFrame]:
    """The rows of *batches*, *size* at a time; only the last of them may be fewer.

    The same rows are always one chunk, however they were batched.
    """
    rest: list[pl.DataFrame] = []
    for batch in batches:
        start = 0
        if missing := size - rest[0].height if rest else 0:
            rest.append(batch.head(missing))
            start = missing
            if batch.height < missing:
                rest = [pl.concat(rest, rechunk=True)]
                continue
            yield pl.concat(rest, rechunk=True)
            rest = []
        for begin in range(start, batch.height, size):
            part = batch.slice(begin, size)
            if part.height == size:
                yield part
            else:
                rest = [part]
    yield from (one for one in rest if one.height)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """*items*, the next of which is made in a thread of its own while one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="shipway-ahead") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
