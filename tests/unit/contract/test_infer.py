"""A contract from a table: what it promises holds for the table itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shipway.contract import odcs
from shipway.contract.compiled import CompiledContract
from shipway.contract.infer import infer
from shipway.contract.schema import CategoricalBins, Contract, NumericBins, Policy, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import ContractError, NotEnoughData, UnreadableTable


def _flights(rows: int = 400) -> pl.DataFrame:
    random = np.random.default_rng(7)
    start = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
    return pl.DataFrame(
        {
            "carrier": random.choice(["UA", "B6", "AA"], rows, p=[0.5, 0.3, 0.2]),
            "tail": [f"N{row}" for row in range(rows)],
            "hour": random.integers(5, 24, rows),
            "distance": random.integers(80, 5000, rows),
            "temp": [None if row % 10 == 0 else float(row % 37) - 5.5 for row in range(rows)],
            "seats": [None if row % 7 == 0 else row % 300 for row in range(rows)],
            "cargo": random.integers(0, 2, rows).astype(bool),
            "when": [start + dt.timedelta(hours=row) for row in range(rows)],
            "day": [(start + dt.timedelta(hours=row)).date() for row in range(rows)],
            "late": random.integers(0, 2, rows),
        }
    )


def _infer(frame: Any, **changed: Any) -> Contract:
    asked: dict[str, Any] = {"model": "m", "task": Task.BINARY, "target": "late", "time": "when"}
    return infer(frame, **(asked | changed))


def _by_name(contract: Contract) -> dict[str, Any]:
    return {column.name: column for column in contract.columns}


def test_each_column_gets_its_kind_role_and_promise() -> None:
    """Types, nullability, null rates, categories by frequency, ranges with stated slack."""
    contract = _infer(_flights())
    columns = _by_name(contract)
    kinds = {name: column.kind for name, column in columns.items()}
    assert kinds["hour"] is kinds["distance"] is kinds["seats"] is kinds["late"] is Kind.INTEGER
    assert kinds["temp"] is Kind.NUMBER
    assert kinds["cargo"] is Kind.BOOLEAN
    assert kinds["when"] is Kind.TIMESTAMP
    assert columns["late"].role is Role.TARGET
    assert columns["late"].categories == ("0", "1")
    assert columns["when"].role is Role.TIME
    assert columns["day"].role is Role.IGNORED
    assert columns["carrier"].categories == ("UA", "B6", "AA")
    assert columns["tail"].categories is None
    assert columns["tail"].bins is None
    assert (columns["temp"].nullable, columns["temp"].null_rate) == (True, 0.1)
    assert (columns["hour"].minimum, columns["hour"].maximum) == (5.0, 23.0)
    assert columns["distance"].maximum > 5000
    assert columns["distance"].out_of_range is Policy.WARN
    assert contract.rows == 400
    assert contract.range_slack == 0.1
    assert any("day" in note for note in contract.notes)


def test_bins_count_every_training_row() -> None:
    """Numbers get few bins, categories one each, and the sums are the rows."""
    columns = _by_name(_infer(_flights()))
    hour, distance, carrier = (columns[n].bins for n in ("hour", "distance", "carrier"))
    assert isinstance(hour, NumericBins)
    assert hour.edges[0] == 5.0
    assert isinstance(distance, NumericBins)
    assert 10 <= len(distance.counts) <= 20
    assert isinstance(carrier, CategoricalBins)
    assert carrier.counts == tuple(sorted(carrier.counts, reverse=True))
    assert sum(distance.counts) == sum(carrier.counts) == 400
    assert isinstance(columns["temp"].bins, NumericBins)
    assert columns["temp"].bins.missing == 40


_CELLS = {
    "f": st.one_of(st.none(), st.floats(allow_infinity=False)),
    "i": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "s": st.one_of(st.none(), st.text(max_size=3)),
    "b": st.one_of(st.none(), st.booleans()),
}
_DTYPES = {"f": pl.Float64, "i": pl.Int64, "s": pl.String, "b": pl.Boolean}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.fixed_dictionaries(_CELLS), min_size=1, max_size=40))
@example(
    [{"f": 0.0, "i": None, "s": None, "b": None}] * 13
    + [{"f": 1.6e308, "i": 2**53 + 1, "s": None, "b": None}]
)
def test_a_table_keeps_the_contract_inferred_from_it(rows: list[dict[str, Any]]) -> None:
    """Its own data raises nothing, not even a warning, also after a trip through the file."""
    frame = pl.DataFrame(rows, schema=_DTYPES).with_columns(x=pl.lit(1))
    contract = infer(frame, model="m", task=Task.REGRESSION)
    assert odcs.load(odcs.dump(contract)) == contract
    report = CompiledContract(contract).check_frame(frame)
    assert (report.violations, report.warnings) == ((), {})


def test_pandas_and_polars_give_the_same_contract() -> None:
    """The library of the frame is of no account, nullable and zoned types included."""
    frame = _flights().drop("day")
    pandas = pd.DataFrame({name: frame[name].to_list() for name in frame.columns})
    pandas["seats"] = pd.array(frame["seats"].to_list(), dtype="Int64")
    pandas["carrier"] = pandas["carrier"].astype("category")
    pandas["when"] = pandas["when"].dt.tz_convert("America/New_York")
    assert _infer(pandas) == _infer(frame)
    assert _infer(frame.lazy()) == _infer(frame)


def test_a_time_given_as_text_is_a_time() -> None:
    """ISO 8601 in a column named as time is as good as a time."""
    frame = _flights().with_columns(pl.col("when").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    column = _by_name(_infer(frame))["when"]
    assert column.kind is Kind.TIMESTAMP
    assert CompiledContract(_infer(frame)).check_frame(frame).ok


def test_named_features_are_the_only_ones() -> None:
    """The model's inputs decide; every other column stays in the file as ignored."""
    contract = _infer(_flights(), features=["hour", "temp"])
    assert [column.name for column in contract.features] == ["hour", "temp"]
    assert _by_name(contract)["carrier"].role is Role.IGNORED


def test_what_no_contract_can_hold_is_left_out_with_a_note() -> None:
    """Lists and mixed objects are named; columns without a value are ignored."""
    frame = _flights(20).with_columns(parts=pl.lit([1, 2]), nothing=pl.lit(None, dtype=pl.Float64))
    contract = _infer(frame)
    assert "parts" not in _by_name(contract)
    assert _by_name(contract)["nothing"].role is Role.IGNORED
    assert any(note.startswith("parts: the type List") for note in contract.notes)
    mixed = pd.DataFrame({"a": [1, "x"], "b": [1, 2]})
    assert [c.name for c in infer(mixed, model="m", task=Task.REGRESSION).columns] == ["b"]


def _refused(frame: Any, **changed: Any) -> str:
    with pytest.raises(ContractError) as caught:
        _infer(frame, **changed)
    return str(caught.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Absent columns with the name that was meant, infinities, a bad positive class."""
    frame = _flights().with_columns(temp=pl.lit(float("inf")))
    told = _refused(frame, time="wen", id="tali", positive="2")
    assert "did you mean 'when'?" in told
    assert "did you mean 'tail'?" in told
    assert "400 values of 'temp' are infinite" in told
    assert "the positive class '2' is not in the target" in told


def test_a_target_that_does_not_fit_the_task_is_told() -> None:
    """Names cannot be regressed, fractions are no classes, three classes are not two."""
    assert "needs a number" in _refused(_flights(), task=Task.REGRESSION, target="carrier")
    assert "is the task regression" in _refused(_flights(), target="temp")
    assert "has 3: AA, B6, UA" in _refused(_flights(), target="carrier")
    assert "is no time" in _refused(_flights(), time="carrier")
    assert "no column is left" in _refused(_flights().select("late", "when"))


def test_too_little_data_is_its_own_error() -> None:
    """No rows, or one class, is not a malformed table."""
    with pytest.raises(NotEnoughData, match="no rows"):
        _infer(_flights().clear())
    with pytest.raises(NotEnoughData, match="only the class 1"):
        _infer(_flights().with_columns(late=pl.lit(1)))
    with pytest.raises(UnreadableTable, match="not a data frame"):
        _infer([1, 2])
    with pytest.raises(UnreadableTable, match="must be text"):
        _infer(pd.DataFrame({0: [1]}))


def test_float_classes_of_pandas_are_integers() -> None:
    """0.0, 1.0 and NaN are what pandas makes of an integer target with gaps."""
    frame = _flights().with_columns(
        late=pl.when(pl.int_range(pl.len()) % 9 == 0).then(None).otherwise(pl.col("late") * 1.0)
    )
    column = _by_name(_infer(frame))["late"]
    assert (column.kind, column.categories, column.nullable) == (Kind.INTEGER, ("0", "1"), True)
