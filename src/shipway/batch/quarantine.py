"""The rows that were not answered, as they came, each with its reasons; always a CSV file."""

from __future__ import annotations

from typing import IO

import polars as pl

from shipway.batch.cells import safe_cells
from shipway.errors import Problem

_TOLD = 20


class Quarantine:
    """Writes bad rows to the open *file* as they come, and remembers the first twenty."""

    def __init__(self, file: IO[bytes], *, excel_safe: bool) -> None:
        self._file = file
        self._excel_safe = excel_safe
        self._problems: list[Problem] = []
        self.rows = 0

    def add(self, chunk: pl.DataFrame, first_row: int, faults: dict[int, list[str]]) -> None:
        """Set aside the rows of *chunk* that *faults* has reasons for; it begins at *first_row*."""
        places = list(faults)
        reasons = ["; ".join(faults[place]) for place in places]
        for place, reason in zip(places[: _TOLD - len(self._problems)], reasons, strict=False):
            self._problems.append(
                Problem("contract.violated", reason, where=f"row {first_row + place}")
            )
        found = chunk[places]
        added = [
            pl.Series("row", [first_row + place for place in places]),
            pl.Series("reasons", reasons),
        ]
        kept = [
            column.alias(f"input_{column.name}") if column.name in ("row", "reasons") else column
            for column in found.get_columns()
            if not (column.dtype.is_nested() or column.dtype == pl.Binary)
        ]
        frame = pl.DataFrame([*added, *kept])
        if self._excel_safe:
            frame = safe_cells(frame)
        frame.write_csv(self._file, include_header=self.rows == 0)
        self.rows += len(places)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The first twenty bad rows, each with its reasons."""
        return tuple(self._problems)
