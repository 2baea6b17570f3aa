"""The rows that were not answered, as they came, each with its reasons; always a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

import polars as pl

from shipway.batch.cells import safe_cells
from shipway.batch.chunks import Faults
from shipway.contract.violations import Violation
from shipway.errors import Problem

MOST_TOLD = 20
_OWN_COLUMNS = ("row", "reasons", "file")


def set_aside(
    found: pl.DataFrame, numbers: Sequence[int], reasons: Faults, *, file: str | None = None
) -> pl.DataFrame:
    """The rows *found*, whose *numbers* and *reasons* (in the same order) are put before them.

    So is the name of their *file*, where it is one of several.
    """
    added = [
        pl.Series("row", numbers, dtype=pl.Int64),
        pl.Series("reasons", [_reasons(told) for told in reasons.values()], dtype=pl.String),
    ]
    kept = [
        column.alias(f"input_{column.name}") if column.name in _OWN_COLUMNS else column
        for column in found.get_columns()
        if not (column.dtype.is_nested() or column.dtype == pl.Binary)
    ]
    if file is not None:
        added.insert(1, pl.Series("file", [file] * found.height, dtype=pl.String))
    return pl.DataFrame([*added, *kept])


def _reasons(violations: Iterable[Violation]) -> str:
    return "; ".join(
        f"{one.column}: {one.message}" if one.column else one.message for one in violations
    )


def problems_of(first_row: int, faults: Faults) -> tuple[Problem, ...]:
    """The first twenty bad rows, each with its reasons."""
    return tuple(
        Problem("contract.violated", _reasons(faults[place]), where=f"row {first_row + place}")
        for place in list(faults)[:MOST_TOLD]
    )


def write_quarantine(
    tables: Iterable[pl.DataFrame], names: Sequence[str], file: IO[bytes], *, excel_safe: bool
) -> int:
    """Write *tables* of :func:`set_aside` under each other; how many rows they have.

    *names* are the columns that any of them has, in order: what one lacks stays empty there.
    """
    rows = 0
    for table in tables:
        absent = [
            pl.lit(None, pl.String).alias(name) for name in names if name not in table.columns
        ]
        whole = table.with_columns(absent).select(names)
        shown = safe_cells(whole) if excel_safe else whole
        shown.write_csv(file, include_header=rows == 0)
        rows += table.height
    return rows
