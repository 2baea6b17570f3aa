"""Every table of the flights package keeps the contract inferred from it; planted faults do not."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from shipway.batch.checking import check_chunk
from shipway.batch.source import open_source
from shipway.contract import odcs
from shipway.contract.compiled import CompiledContract
from shipway.contract.infer import infer
from shipway.contract.schema import Column, Contract, Policy
from shipway.contract.tables import read_table
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.examples.flights.data import _data_folder

TABLES = ("airlines", "airports", "planes", "weather", "flights")
FAULTS = 200
_ROWS = 12_000
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)
_WORD = "not at all"

Change = Callable[[Column, Any], Any]
Fits = Callable[[Column], bool]


def _kind(*kinds: Kind) -> Fits:
    return lambda column: column.kind in kinds


def _required(*kinds: Kind) -> Fits:
    return lambda column: column.kind in kinds and not column.nullable


KINDS: dict[str, tuple[str, Fits, Change]] = {
    "a missing number": (
        "null",
        lambda c: c.kind in _NUMBERS and not c.nullable,
        lambda c, v: None,
    ),
    "a missing text": (
        "null",
        lambda c: c.kind is Kind.STRING and not c.nullable,
        lambda c, v: None,
    ),
    "a missing time": ("null", lambda c: c.kind is Kind.TIMESTAMP, lambda c, v: None),
    "a word for a number": ("wrong-type", _kind(Kind.NUMBER), lambda c, v: _WORD),
    "a word for a whole number": ("wrong-type", _kind(Kind.INTEGER), lambda c, v: _WORD),
    "a number in quotes": ("wrong-type", _kind(*_NUMBERS), lambda c, v: "12"),
    "a boolean for a number": ("wrong-type", _kind(*_NUMBERS), lambda c, v: True),
    "a list for a number": ("wrong-type", _kind(*_NUMBERS), lambda c, v: [1]),
    "a fraction for a whole number": ("wrong-type", _kind(Kind.INTEGER), lambda c, v: 1.5),
    "more than 64 bits": ("too-large", _kind(Kind.INTEGER), lambda c, v: 2**63),
    "a number for a text": ("wrong-type", _kind(Kind.STRING), lambda c, v: 7),
    "an object for a text": ("wrong-type", _kind(Kind.STRING), lambda c, v: {"a": 1}),
    "below the range": (
        "out-of-range",
        lambda c: c.minimum is not None,
        lambda c, v: int(c.minimum or 0) - 1,
    ),
    "above the range": (
        "out-of-range",
        lambda c: c.maximum is not None,
        lambda c, v: int(c.maximum or 0) + 1,
    ),
    "a category never seen": (
        "unseen-category",
        lambda c: c.categories is not None,
        lambda c, v: _WORD,
    ),
    "another case": (
        "unseen-category",
        lambda c: c.categories is not None,
        lambda c, v: c.categories[0].swapcase() if c.categories else None,
    ),
    "a space at the end": (
        "unseen-category",
        lambda c: c.categories is not None,
        lambda c, v: f"{c.categories[0]} " if c.categories else None,
    ),
    "another look": ("pattern", lambda c: c.pattern != "", lambda c, v: _WORD),
    "a text for a time": ("bad-time", _kind(Kind.TIMESTAMP), lambda c, v: "yesterday"),
    "a day that there is not": (
        "bad-time",
        _kind(Kind.TIMESTAMP),
        lambda c, v: "2013-02-30T05:00:00Z",
    ),
    "a number for a time": ("wrong-type", _kind(Kind.TIMESTAMP), lambda c, v: 1_357_016_400),
    "no object": ("no-row", lambda c: True, lambda c, v: None),
}


def _table(name: str, folder: Path) -> pl.DataFrame:
    source = _data_folder()
    if name == "flights":
        with zipfile.ZipFile(source / "flights.csv.zip") as archive:
            (folder / "flights.csv").write_bytes(archive.read("flights.csv"))
        return read_table(folder / "flights.csv")
    return read_table(source / f"{name}.csv")


def _contract(name: str, table: pl.DataFrame) -> Contract:
    time = "time_hour" if "time_hour" in table.columns else None
    key = "tailnum" if name == "planes" else None
    return infer(table, model=name, task=Task.REGRESSION, time=time, id=key)


def _strictly(contract: Contract) -> Contract:
    policies = dict.fromkeys(("out_of_range", "unseen", "mismatched"), Policy.REJECT)
    columns = [msgspec.structs.replace(column, **policies) for column in contract.columns]
    return msgspec.structs.replace(contract, columns=tuple(columns))


@pytest.mark.parametrize("name", TABLES)
def test_a_contract_is_kept_by_what_it_was_inferred_from(name: str, tmp_path: Path) -> None:
    """It survives its file, and no row of its own table breaks a rule of it, hard or soft."""
    table = _table(name, tmp_path)
    contract = _contract(name, table)
    assert odcs.load(odcs.dump(contract)) == contract
    report = CompiledContract(_strictly(contract)).check_frame(table, target=True)
    assert (report.total, report.warnings, report.rows) == (0, {}, table.height)


@pytest.mark.parametrize("name", TABLES)
def test_planted_faults_are_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    """Two hundred of each kind that the table can have, under the right code, in their rows alone.

    Tables of fewer rows are repeated until they have enough.
    """
    table = _table(name, tmp_path)
    contract = _strictly(_contract(name, table))
    lines = table.head(_ROWS).write_ndjson().splitlines()
    rows = [msgspec.json.decode(line) for line in (lines * -(-_ROWS // len(lines)))[:_ROWS]]
    columns = contract.request_columns
    draw = random.Random(f"{name} 7")
    places = iter(draw.sample(range(_ROWS), _ROWS))
    expected: dict[int, str] = {}
    planted = 0
    for kind, (code, fits, change) in KINDS.items():
        fitting = [column for column in columns if fits(column)]
        planted += bool(fitting)
        for place in (next(places) for _ in range(FAULTS if fitting else 0)):
            column = draw.choice(fitting)
            expected[place] = f"contract.{code}"
            rows[place] = (
                "cut o" if kind == "no object"
                else rows[place] | {column.name: change(column, rows[place][column.name])}
            )  # fmt: skip
    assert planted >= (4 if name == "airlines" else 16)
    text = "\n".join(
        row if isinstance(row, str) else msgspec.json.encode(row).decode() for row in rows
    )
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    source = open_source(tmp_path / "rows.jsonl", contract, every_column=False)
    compiled = CompiledContract(contract)
    found: dict[int, str] = {}
    first = 0
    for chunk in source.chunks(5_000):
        for place, told in check_chunk(compiled, chunk).faults.items():
            assert len({one.code for one in told}) == 1, told
            found[first + place] = told[0].code
        first += chunk.frame.height
    assert found == expected
