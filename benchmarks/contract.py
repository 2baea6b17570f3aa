"""Checking requests and tables against the contract of the flights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Figure
from benchmarks.flights import Workshop

_TABLE_ROWS = 300_000


def run(workshop: Workshop) -> Iterator[Figure]:
    """A request of 1 and of 50 rows, and a table of 300,000."""
    checker = workshop.project.compiled
    for rows in (1, 50):
        columns = workshop.columns(rows, time=True)
        seconds = workshop.watch.seconds(partial(checker.check_request, columns))
        yield Figure(
            f"contract.request_{rows}", seconds * 1e6, "µs", note=f"rows: {rows}, columns: 17"
        )
    table = workshop.flights.head(_TABLE_ROWS)
    seconds = workshop.watch.seconds(lambda: checker.check_frame(table))
    yield Figure(
        "contract.table", table.height / seconds, "rows/s", "higher", f"{table.height:,} rows"
    )
