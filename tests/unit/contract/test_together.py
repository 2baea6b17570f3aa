"""A batch checked in one go is what its requests are one by one, or nothing at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.block import Block, Layout, RowMajor
from shipway.contract.requests import RequestChecker
from shipway.contract.schema import Column, Contract, Policy, Role
from shipway.contract.together import BatchChecker
from shipway.domain.metrics import Task
from shipway.domain.model import Kind

MIXED = Contract(
    model="m",
    task=Task.BINARY,
    columns=(
        Column(name="city", kind=Kind.STRING, nullable=True, categories=("EWR", "JFK")),
        Column(name="far", kind=Kind.NUMBER, nullable=True, minimum=0, maximum=10),
        Column(name="hour", kind=Kind.INTEGER),
        Column(name="seats", kind=Kind.INTEGER, nullable=True),
        Column(name="rain", kind=Kind.BOOLEAN),
        Column(name="at", kind=Kind.TIMESTAMP, role=Role.TIME),
    ),
)
NUMBERS = Contract(
    model="m",
    task=Task.BINARY,
    columns=(
        Column(name="a", kind=Kind.NUMBER, nullable=True, minimum=0, maximum=10),
        Column(name="b", kind=Kind.NUMBER, out_of_range=Policy.REJECT, maximum=5),
    ),
)
ODD = st.sampled_from([None, True, "x", 1e300, float("nan"), float("inf"), -0.0, 2**60, 3.5])
NICE: dict[str, st.SearchStrategy[Any]] = {
    "city": st.sampled_from(["EWR", "JFK", None]),
    "far": st.floats(0, 10) | st.integers(0, 10) | st.none(),
    "hour": st.integers(-(2**62), 2**62) | st.just(-0.0),
    "seats": st.integers(0, 5) | st.none(),
    "rain": st.booleans(),
    "at": st.just("2013-04-01T12:00:00Z"),
}


@st.composite
def requests(draw: st.DrawFn) -> dict[str, list[Any]]:
    rows = draw(st.integers(0, 3))
    names = [name for name in NICE if name != "at" or draw(st.booleans())]
    spoilt = draw(st.sampled_from(["", "", "", "", *names]))
    column = {
        name: st.lists((NICE[name] | ODD) if name == spoilt else NICE[name],
                       min_size=rows, max_size=rows + (name == spoilt and draw(st.booleans())))
        for name in names
    }  # fmt: skip
    return {name: draw(values) for name, values in column.items()}


@given(st.lists(requests(), min_size=1, max_size=4))
def test_columns(parts: list[dict[str, list[Any]]]) -> None:
    """Mixed columns: a batch that passes has the arrays that its requests have, to the bit."""
    single = RequestChecker(MIXED)
    clean = BatchChecker(MIXED, single).check(parts)
    checked = [single.check(part) for part in parts]
    if clean is None:
        return
    assert all(one.ok and not one.warnings for one in checked)
    assert clean.rows == [one.rows for one in checked]
    for name, values in clean.columns.items():
        apart = np.concatenate([one.columns[name] for one in checked])
        assert values.dtype == apart.dtype
        assert values.tolist() == apart.tolist() or values.tobytes() == apart.tobytes()


NUMBER = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 5) | st.none()


@given(
    st.lists(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=3), max_size=4, min_size=1)
)
def test_numbers(parts: list[list[tuple[float | None, float | None]]]) -> None:
    """Rows of numbers: they pass as a matrix exactly when they are clean as columns."""
    layout = Layout.of(NUMBERS)
    assert layout is not None
    single = RequestChecker(NUMBERS)
    given_rows = [
        RowMajor(layout, [value for row in part for value in row], len(part)) for part in parts
    ]
    clean = BatchChecker(NUMBERS, single).check(given_rows)
    checked = [single.check({name: list(part[name]) for name in part}) for part in given_rows]
    if clean is None:
        assert not all(one.ok and not one.warnings for one in checked)
        return
    assert all(one.ok and not one.warnings for one in checked)
    assert isinstance(clean.columns, Block)
    for name in layout.names:
        apart = np.concatenate([one.columns[name] for one in checked])
        assert np.ascontiguousarray(clean.columns[name]).tobytes() == apart.tobytes()


def test_nearly_all_pass() -> None:
    """What is in order does pass in one go: the short way is taken, not only allowed."""
    part: dict[str, list[Any]] = {
        "city": ["EWR"],
        "far": [1.5],
        "hour": [7],
        "seats": [None],
        "rain": [True],
    }
    clean = BatchChecker(MIXED, RequestChecker(MIXED)).check([part] * 32)
    assert clean is not None
    assert clean.rows == [1] * 32


@pytest.mark.parametrize("kind", [Kind.STRING, Kind.INTEGER, Kind.BOOLEAN, Kind.DATE])
def test_only_numbers_have_a_layout(kind: Kind) -> None:
    """A contract with any feature that is no plain number takes no matrix of floats."""
    columns = (*NUMBERS.columns, Column(name="c", kind=kind))
    assert Layout.of(Contract(model="m", task=Task.BINARY, columns=columns)) is None
