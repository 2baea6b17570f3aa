"""A run as tables: every figure, every server's facts, and the bars."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from benchmarks.serving import bars
from benchmarks.serving.lineup import SHIPWAY, title_of
from benchmarks.serving.results import Case, Facts, Measured, Results


def tables(results: Results) -> Iterator[Table]:
    """One table a load, then the servers' facts, then the bars."""
    for case in dict.fromkeys(one.case for one in results.measured):
        yield _load(results, case)
    yield _facts(results)
    yield _bars(results)


def name_of(case: Case) -> str:
    """How people call a load."""
    rows = "1 row" if case.rows == 1 else f"{case.rows} rows"
    connections = "1 connection" if case.connections == 1 else f"{case.connections} connections"
    return f"{case.kind} model, {case.wire}, {rows} x {connections}"


def _load(results: Results, case: Case) -> Table:
    table = Table(title=name_of(case), title_justify="left")
    table.add_column("server")
    for name in ("requests/s", "p50 ms", "p99 ms", "Shipway is"):
        table.add_column(name, justify="right")
    ours = results.rate(SHIPWAY, case)
    for one in results.measured:
        if one.case == case:
            table.add_row(title_of(one.server), *_figures(one, ours))
    return table


def _figures(one: Measured, ours: float | None) -> tuple[str, ...]:
    if one.reason:
        return ("-", "-", "-", one.reason)
    ratio = "" if ours is None or one.server == SHIPWAY else f"{ours / one.per_second:.2f} x"
    return (f"{one.per_second:,.0f}", f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", ratio)


def _facts(results: Results) -> Table:
    table = Table(title="Memory under load, and the start", title_justify="left")
    table.add_column("server")
    for name in ("model", "memory MB", "of it workers", "first answer s"):
        table.add_column(name, justify="right")
    for one in results.facts:
        workers = f"{one.worker_mb:.0f}" if one.server == SHIPWAY else ""
        table.add_row(
            title_of(one.server), one.kind, _whole(one), workers, f"{one.first_answer_s:.2f}"
        )
    return table


def _whole(one: Facts) -> str:
    return f"{one.memory_mb:.0f}"


def _bars(results: Results) -> Table:
    table = Table(title="Bars", title_justify="left")
    table.add_column("bar")
    for name in ("value", "wanted", ""):
        table.add_column(name, justify="right")
    for bar in bars.bars():
        value = bar.value(results)
        wanted = f"{'at least' if bar.better == 'higher' else 'at most'} {bar.bar:g}"
        if value is None:
            table.add_row(bar.name, "-", wanted, "not measured")
        else:
            table.add_row(
                bar.name, f"{value:.3g}", wanted, "reached" if bar.reached(value) else "missed"
            )
    return table
