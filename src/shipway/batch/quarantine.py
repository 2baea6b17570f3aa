"""The rows that were not answered, as they came, each with its reasons; always a CSV file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import polars as pl

from shipway.batch.cells import safe_cells
from shipway.errors import Problem

MOST_TOLD = 20


def set_aside(chunk: pl.DataFrame, first_row: int, faults: dict[int, list[str]]) -> pl.DataFrame:
    """The rows of *chunk* that *faults* has reasons for, with these; it begins at *first_row*."""
    places = list(faults)
    found = chunk[places]
    added = [
        pl.Series("row", [first_row + place for place in places], dtype=pl.Int64),
        pl.Series("reasons", ["; ".join(faults[place]) for place in places], dtype=pl.String),
    ]
    kept = [
        column.alias(f"input_{column.name}") if column.name in ("row", "reasons") else column
        for column in found.get_columns()
        if not (column.dtype.is_nested() or column.dtype == pl.Binary)
    ]
    return pl.DataFrame([*added, *kept])


def problems_of(first_row: int, faults: dict[int, list[str]]) -> tuple[Problem, ...]:
    """The first twenty bad rows, each with its reasons."""
    return tuple(
        Problem("contract.violated", "; ".join(faults[place]), where=f"row {first_row + place}")
        for place in list(faults)[:MOST_TOLD]
    )


def write_quarantine(tables: Iterable[pl.DataFrame], file: IO[bytes], *, excel_safe: bool) -> int:
    """Write *tables* of :func:`set_aside` under each other; how many rows they have."""
    rows = 0
    for table in tables:
        shown = safe_cells(table) if excel_safe else table
        shown.write_csv(file, include_header=rows == 0)
        rows += table.height
    return rows
