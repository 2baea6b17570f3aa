"""CSV files: their separator, their header, and the columns of dates and times in them."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from shipway.domain.model import Kind
from shipway.errors import Problem, UnreadableTable

NULLS: Final = ("", "NA")
"""The cells of a CSV file that count as missing."""

_SAMPLE_ROWS = 200
_SEPARATORS = (",", ";", "\t", "|")
_TIME_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f%:z")


def scan_text(path: Path, head: bytes) -> pl.LazyFrame:
    """The CSV file at *path*, which begins with *head*, every column as text."""
    separator = _separator(head)
    _check_names(path, _header(path, separator))
    return pl.scan_csv(
        path, separator=separator, null_values=list(NULLS), infer_schema=False, glob=False
    )


def scan_csv(path: Path, head: bytes, kinds: Mapping[str, Kind]) -> pl.LazyFrame:
    """The CSV file at *path*, which begins with *head*, its types found in its cells.

    Columns that *kinds* calls strings stay text.
    """
    separator = _separator(head)
    names = _header(path, separator)
    _check_names(path, names)
    texts = texts_of(names, kinds)
    lazy = pl.scan_csv(
        path,
        separator=separator,
        null_values=list(NULLS),
        schema_overrides=texts,
        infer_schema_length=None,
        glob=False,
    )
    return with_times(lazy, texts)


def texts_of(names: Iterable[str], kinds: Mapping[str, Kind]) -> dict[str, type[pl.String]]:
    """Those of *names* that *kinds* calls strings."""
    return {name: pl.String for name in names if kinds.get(name) is Kind.STRING}


def with_times(lazy: pl.LazyFrame, texts: Collection[str]) -> pl.LazyFrame:
    """Columns of text but *texts* as dates or UTC times, where every value that is there is one.

    Only ISO 8601 is taken: ``01/02/2013`` means two days, and a request could not send it.
    """
    schema = lazy.collect_schema()
    names = [name for name in schema if schema[name] == pl.String and name not in texts]
    tries = [(name, index) for name in names for index in range(len(_time_readings(pl.col(name))))]
    # Nearly all columns of text fail on their first rows; only the rest are read to the end.
    likely = _fitting(lazy.head(_SAMPLE_ROWS), tries, empty_fits=True)
    chosen = dict(reversed(_fitting(lazy, likely, empty_fits=False)))
    readings = [_time_readings(pl.col(name))[index].alias(name) for name, index in chosen.items()]
    return lazy.with_columns(readings) if readings else lazy


def _separator(head: bytes) -> str:
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    return max(_SEPARATORS, key=first.count)


def _header(path: Path, separator: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=separator), [])


def _check_names(path: Path, names: Iterable[str]) -> None:
    problems: list[Problem] = []
    seen: set[str] = set()
    for place, name in enumerate(names, start=1):
        if not name.strip():
            hint = "did pandas write its index? to_csv(..., index=False)" if place == 1 else ""
            problems.append(
                Problem("data.unreadable", f"column {place} has no name", f"{path}:1", hint)
            )
        elif name in seen:
            text = f"the column name {name!r} stands twice"
            problems.append(Problem("data.unreadable", text, f"{path}:1"))
        seen.add(name)
    if problems:
        raise UnreadableTable(
            f"the first line of {path} does not name every column once",
            next_step="mend the header; it must be the first line",
            problems=problems,
        )


def _fitting(
    lazy: pl.LazyFrame, tries: list[tuple[str, int]], *, empty_fits: bool
) -> list[tuple[str, int]]:
    if not tries:
        return []
    checks = []
    for place, (name, index) in enumerate(tries):
        column = pl.col(name)
        same = (_time_readings(column)[index].is_null() == column.is_null()).all()
        filled = pl.lit(True) if empty_fits else column.is_not_null().any()
        checks.append((same & filled).alias(str(place)))
    fits = lazy.select(checks).collect(engine="streaming").row(0)
    return [attempt for attempt, fit in zip(tries, fits, strict=True) if fit]


def _time_readings(column: pl.Expr) -> list[pl.Expr]:
    plain = column.str.replace(" ", "T", literal=True).str.replace("Z$", "+00:00")
    whole = plain.str.replace(r"^(.{10}T\d\d:\d\d)($|[+-])", "${1}:00${2}")
    return [
        column.str.to_date("%Y-%m-%d", strict=False),
        *(
            whole.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
            for form in _TIME_FORMATS
        ),
    ]
