"""Text cells are read by the contract, and written so that no spreadsheet runs them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.batch.cells import safe_cells, safe_schema, text_schema, typed, unreadable_cells
from shipway.contract.schema import Contract

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/C calc'!A0"]


def test_text_is_read_by_kind(contract: Contract) -> None:
    """Numbers, whole numbers and booleans are read in their usual spellings, text is left alone."""
    raw = pl.DataFrame(
        {
            "x": ["1.5", " 2 ", "1e3", None],
            "n": ["3", "4.0", "9007199254740993", ""],
            "flag": ["true", "False", "TRUE", ""],
            "carrier": [" UA", "-", "1", None],
        }
    )
    read = typed(raw, text_schema(raw.columns, contract))
    assert read.to_dict(as_series=False) == {
        "x": [1.5, 2.0, 1000.0, None],
        "n": [3, 4, 9007199254740993, None],
        "flag": [True, False, True, None],
        "carrier": [" UA", "-", "1", None],
    }
    assert unreadable_cells(raw, read, contract) == {}


def test_unreadable_cells_are_told(contract: Contract) -> None:
    """Every cell that is not of its type is told with its column, value and what was wanted."""
    raw = pl.DataFrame({"x": ["1", "abc"], "n": ["1.5", "1"], "flag": ["yes", "1"]})
    read = typed(raw, text_schema(raw.columns, contract))
    told = unreadable_cells(raw, read, contract)
    assert {row: [f"{v.column}: {v.message}" for v in faults] for row, faults in told.items()} == {
        0: ["n: '1.5' is not a whole number", "flag: 'yes' is not true or false"],
        1: ["x: 'abc' is not a number", "flag: '1' is not true or false"],
    }


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_are_quoted(formula: str) -> None:
    """Text that a spreadsheet would run begins with a quote; the name of a column does too."""
    safe = safe_cells(pl.DataFrame({formula: [formula, "plain", None]}))
    assert safe.columns == [f"'{formula}"]
    assert safe.to_series().to_list() == [f"'{formula}", "plain", None]


def test_numbers_stay_numbers() -> None:
    """A negative number is no formula and is not touched."""
    frame = pl.DataFrame({"a": [-1.5], "b": [-2]})
    assert safe_cells(frame).equals(frame)


@given(st.lists(st.one_of(st.none(), st.text(max_size=8)), max_size=8), st.text(min_size=1))
def test_no_cell_begins_a_formula(values: list[str | None], name: str) -> None:
    """Whatever the text, no cell and no name starts a formula, and nothing else changes."""
    frame = pl.DataFrame({name: pl.Series(values, dtype=pl.String)})
    safe = safe_cells(frame)
    assert safe.schema == safe_schema(frame.schema)
    for before, after in zip(values, safe.to_series().to_list(), strict=True):
        if before is None or after is None:
            assert before is after
            continue
        assert not after.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert after.removeprefix("'") == before.removeprefix("'") or after == f"'{before}"
