"""JSON lines as a request has them: each value by the contract's kind, or a fault of its row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from shipway.batch.cells import text_schema
from shipway.batch.chunks import Chunk, Faults
from shipway.contract.schema import Column, Contract
from shipway.contract.values import READERS, is_missing
from shipway.contract.violations import no_row, value_violation
from shipway.domain.model import Kind

_TIMES = (Kind.DATE, Kind.TIMESTAMP)
_WHOLE: dict[Kind, frozenset[type]] = {
    Kind.NUMBER: frozenset({float, type(None)}),
    Kind.INTEGER: frozenset({int, type(None)}),
    Kind.BOOLEAN: frozenset({bool, type(None)}),
    Kind.STRING: frozenset({str, type(None)}),
}
_NO_ROW: dict[str, Any] = {}
_MOST_COLUMNS = 10_000
_SAMPLED_LINES = 1_000

Row = dict[str, Any]


def columns_in(path: Path) -> list[str]:
    """The names in the first thousand lines of *path*, in the order in which they turn up."""
    names: dict[str, None] = {}
    for row, _ in itertools.islice(_rows(path), _SAMPLED_LINES):
        names.update(dict.fromkeys(row))
    return list(names)[:_MOST_COLUMNS]


def chunks_of(
    path: Path, names: Sequence[str], contract: Contract, size: int, *, skip: int = 0
) -> Iterator[Chunk]:
    """The lines of *path* behind the first *skip*, *size* at a time, as the columns *names*.

    A line that is no JSON object is a bad row; an empty one is none.
    """
    schema = text_schema(list(names), contract)
    known = {column.name: column for column in contract.request_columns}
    rows = itertools.islice(_rows(path), skip, None)
    while read := list(itertools.islice(rows, size)):
        yield _chunk([row for row, _ in read], [fault for _, fault in read], schema, known)


def _rows(path: Path) -> Iterator[tuple[Row, str]]:
    """Each line as an object, or how it begins where it is none."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with path.open("rb") as file:
        for line in file:
            if line.isspace():
                continue
            try:
                yield decode(line), ""
            except (msgspec.DecodeError, UnicodeError):
                yield _NO_ROW, line[:60].decode("utf-8", "replace").strip()


def _chunk(
    rows: list[Row], broken: list[str], schema: pl.Schema, known: dict[str, Column]
) -> Chunk:
    faults: Faults = {row: [no_row(row, text)] for row, text in enumerate(broken) if text}
    columns: list[pl.Series] = []
    for name, dtype in schema.items():
        values = [row.get(name) for row in rows]
        column = known.get(name)
        read = _texts(values) if column is None else _read(values, column, faults)
        columns.append(pl.Series(name, read, dtype=dtype))

    def raw(places: list[int]) -> pl.DataFrame:
        return pl.DataFrame(
            [
                pl.Series(name, _texts([rows[place].get(name) for place in places]), pl.String)
                for name in schema
            ]
        )

    return Chunk(pl.DataFrame(columns), dict(sorted(faults.items())), raw)


def _read(values: list[Any], column: Column, faults: Faults) -> list[Any]:
    """*values* with None for what is not of the kind of *column*, which *faults* then has."""
    if set(map(type, values)) <= _WHOLE.get(column.kind, frozenset()) and (
        column.kind is not Kind.INTEGER
    ):
        return values
    reader = READERS[column.kind]
    kept: list[Any] = []
    for row, value in enumerate(values):
        if is_missing(value):
            kept.append(None)
            continue
        read, code = reader(value)
        if code:
            faults.setdefault(row, []).append(value_violation(column, code, row, value))
        # A time stays the text that it is: the table's check reads it, and says what is wrong.
        kept.append(None if code else value if column.kind in _TIMES else read)
    return kept


def _texts(values: list[Any]) -> list[str | None]:
    return [
        value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()
        for value in values
    ]
