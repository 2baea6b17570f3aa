"""Values that stand twice in a table of any size: found by their hashes, told by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.batch.chunks import Chunk, Faults, ahead
from shipway.batch.source import open_source
from shipway.contract.schema import Column, Contract, Role
from shipway.contract.violations import duplicate


class Repeats:
    """The values of the unique columns of *contract* that stand in several rows of *table*.

    Made, it has read these columns once and knows the hashes that occur twice (8 bytes a row are
    held meanwhile). Given the same chunks again, in their order, it tells each row but the first,
    and by the value itself, so that two values of one hash accuse nobody.
    """

    def __init__(self, table: Path, contract: Contract, chunk_rows: int) -> None:
        self._columns = [column for column in contract.columns if column.unique]
        self._twice: dict[str, NDArray[np.uint64]] = {}
        self._seen: dict[str, dict[object, int]] = {column.name: {} for column in self._columns}
        if self._columns:
            self._twice = _twice(table, contract, self._columns, chunk_rows)

    def of(self, chunk: Chunk, first_row: int) -> Faults:
        """What is told of the rows of *chunk*, which begins with row *first_row* of the table."""
        faults: Faults = {}
        for column in self._columns:
            if column.name not in chunk.frame.columns or not self._twice[column.name].size:
                continue
            values = _comparable(chunk.frame[column.name])
            suspects = np.isin(_hashes(values), self._twice[column.name])
            seen = self._seen[column.name]
            for place in np.flatnonzero(suspects & values.is_not_null().to_numpy()).tolist():
                value = values[place]
                first = seen.setdefault(value, first_row + place)
                if first != first_row + place:
                    told = duplicate(column, place, value, first)
                    faults.setdefault(place, []).append(told)
        return faults


def _twice(
    table: Path, contract: Contract, columns: Sequence[Column], chunk_rows: int
) -> dict[str, NDArray[np.uint64]]:
    """The hashes that occur more than once, by column."""
    alone = tuple(msgspec.structs.replace(column, role=Role.GROUP) for column in columns)
    only = msgspec.structs.replace(contract, columns=alone)
    source = open_source(table, only, every_column=False, complete=False)
    found: dict[str, list[NDArray[np.uint64]]] = {column.name: [] for column in columns}
    for chunk in ahead(source.chunks(chunk_rows)):
        for name, hashes in found.items():
            if name in chunk.frame.columns:
                values = _comparable(chunk.frame[name])
                hashes.append(_hashes(values.drop_nulls()))
    return {name: _repeated(hashes) for name, hashes in found.items()}


def _repeated(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    together = np.sort(np.concatenate([np.empty(0, dtype=np.uint64), *parts]))
    return np.unique(together[1:][together[1:] == together[:-1]])


def _comparable(values: pl.Series) -> pl.Series:
    """*values* as the one type that equal ones have in all files, and so one hash."""
    if values.dtype.is_nested() or values.dtype == pl.Null:
        return pl.Series(values.name, [None] * len(values), dtype=pl.String)
    if values.dtype.is_integer():
        return values.cast(pl.Int64, strict=False)
    if values.dtype.is_float():
        return values.cast(pl.Float64)
    if values.dtype in (pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    return values


def _hashes(values: pl.Series) -> NDArray[np.uint64]:
    hashes: NDArray[np.uint64] = values.hash().to_numpy()
    return hashes
