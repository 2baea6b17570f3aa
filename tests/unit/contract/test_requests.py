"""What a request is refused for, in words and codes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from shipway.contract.compiled import Checked, CompiledContract
from shipway.contract.schema import Column, Contract, Policy, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import ContractError, ContractViolated

_COLUMNS = (
    Column(name="carrier", kind=Kind.STRING, categories=("UA", "B6")),
    Column(name="tail", kind=Kind.STRING, nullable=True),
    Column(name="distance", kind=Kind.INTEGER, minimum=0.0, maximum=5000.0),
    Column(name="seats", kind=Kind.INTEGER, nullable=True),
    Column(name="temp", kind=Kind.NUMBER, nullable=True, minimum=-50.0, maximum=50.0),
    Column(name="wind", kind=Kind.NUMBER, maximum=99.0, out_of_range=Policy.REJECT),
    Column(name="cargo", kind=Kind.BOOLEAN),
    Column(name="built", kind=Kind.DATE, nullable=True),
    Column(name="when", kind=Kind.TIMESTAMP, role=Role.TIME),
    Column(name="row_id", kind=Kind.STRING, role=Role.ID),
    Column(name="late", kind=Kind.INTEGER, role=Role.TARGET, categories=("0", "1")),
    Column(name="junk", kind=Kind.STRING, role=Role.IGNORED),
)
_GOOD: dict[str, Any] = {
    "carrier": "UA",
    "tail": None,
    "distance": 700,
    "seats": None,
    "temp": 12.5,
    "wind": 3,
    "cargo": True,
    "built": "2001-05-06",
}


@pytest.fixture(scope="module")
def compiled() -> CompiledContract:
    """The contract of a few flights columns."""
    return CompiledContract(Contract(model="m", task=Task.BINARY, columns=_COLUMNS))


def _check(compiled: CompiledContract, **changed: Any) -> Checked:
    return compiled.check_request({name: [value] for name, value in (_GOOD | changed).items()})


def test_a_clean_request_becomes_arrays_in_contract_order(compiled: CompiledContract) -> None:
    """Each kind has its dtype, and a nullable integer is a float."""
    checked = _check(compiled)
    assert checked.ok
    assert list(checked.columns) == list(_GOOD)
    kinds = [str(array.dtype) for array in checked.columns.values()]
    times = "datetime64[us]"
    assert kinds == ["object", "object", "int64", "float64", "float64", "float64", "bool", times]
    assert checked.columns["built"][0] == np.datetime64("2001-05-06", "us")
    assert checked.columns["tail"][0] is None
    assert np.isnan(checked.columns["seats"][0])


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("carrier", 1, "contract.wrong-type"),
        ("carrier", None, "contract.null"),
        ("carrier", float("nan"), "contract.null"),
        ("tail", True, "contract.wrong-type"),
        ("distance", 3.5, "contract.wrong-type"),
        ("distance", "3", "contract.wrong-type"),
        ("distance", True, "contract.wrong-type"),
        ("distance", None, "contract.null"),
        ("distance", 2**63, "contract.too-large"),
        ("distance", -(2**63) - 1, "contract.too-large"),
        ("distance", 1e19, "contract.too-large"),
        ("distance", float("inf"), "contract.not-finite"),
        ("seats", 0.5, "contract.wrong-type"),
        ("seats", 10**30, "contract.too-large"),
        ("temp", "warm", "contract.wrong-type"),
        ("temp", True, "contract.wrong-type"),
        ("temp", float("inf"), "contract.not-finite"),
        ("temp", float("-inf"), "contract.not-finite"),
        ("temp", 10**400, "contract.not-finite"),
        ("temp", [1.0], "contract.wrong-type"),
        ("temp", {"a": 1}, "contract.wrong-type"),
        ("wind", None, "contract.null"),
        ("wind", float("nan"), "contract.null"),
        ("wind", 99.5, "contract.out-of-range"),
        ("cargo", 1, "contract.wrong-type"),
        ("cargo", "true", "contract.wrong-type"),
        ("cargo", None, "contract.null"),
        ("built", "6 May 2001", "contract.bad-time"),
        ("built", "2001-02-30", "contract.bad-time"),
        ("built", "2001-05-06T12:00:00", "contract.bad-time"),
        ("built", 20010506, "contract.wrong-type"),
        ("when", "yesterday", "contract.bad-time"),
        ("when", None, "contract.null"),
        ("row_id", 7, "contract.wrong-type"),
    ],
)
def test_each_fault_has_its_row_column_and_code(
    compiled: CompiledContract, column: str, value: Any, code: str
) -> None:
    """The one bad value is told, nothing else is accused, and no array is given."""
    checked = _check(compiled, **{column: value})
    assert [(v.row, v.column, v.code) for v in checked.violations] == [(0, column, code)]
    assert checked.total == 1
    assert checked.columns == {}
    assert column in str(checked.error())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("distance", 700.0),
        ("seats", 3.0),
        ("temp", 3),
        ("temp", None),
        ("temp", float("nan")),
        ("when", "2013-04-01T12:00:00Z"),
        ("when", "2013-04-01 12:00"),
        ("when", "2013-04-01T12:00:00.5-04:00"),
        ("built", "2001-05-06T00:00:00Z"),
        ("built", dt.date(2001, 5, 6)),
        ("row_id", "r1"),
    ],
)
def test_another_way_to_say_the_same_is_taken(
    compiled: CompiledContract, column: str, value: Any
) -> None:
    """A whole float is an integer, NaN is missing, ISO 8601 has its variants."""
    assert _check(compiled, **{column: value}).violations == ()


def test_soft_rules_count_and_do_not_refuse(compiled: CompiledContract) -> None:
    """Out of range and never seen are warnings by default."""
    checked = _check(compiled, distance=9000, carrier="XX", temp=-60.0)
    assert checked.ok
    assert checked.warnings == {"contract.out-of-range": 2, "contract.unseen-category": 1}


def test_all_column_faults_are_told_with_what_was_meant(compiled: CompiledContract) -> None:
    """A renamed column is missing under one name and unexpected under the other."""
    given = {name: [value] for name, value in _GOOD.items() if name != "distance"}
    checked = compiled.check_request(given | {"distanc": [1], "late": [0], "junk": ["x"]})
    told = {(v.column, v.code): v.message for v in checked.violations}
    assert "is it 'distanc'" in told["distance", "contract.missing-column"]
    assert "did you mean 'distance'?" in told["distanc", "contract.unexpected-column"]
    assert "the target" in told["late", "contract.unexpected-column"]
    assert "ignored" in told["junk", "contract.unexpected-column"]


def test_columns_of_other_lengths_are_named(compiled: CompiledContract) -> None:
    """The odd one out is accused, not the others."""
    given = {name: [value, value] for name, value in _GOOD.items()}
    checked = compiled.check_request(given | {"temp": [1.0]})
    assert [(v.column, v.code, v.value) for v in checked.violations] == [
        ("temp", "contract.length", "1")
    ]
    odds: list[Any] = [True, None, "UA", 3, 3.0, {"a": 1}, np.float64(3.0), np.zeros((2, 2))]
    for name in _GOOD:
        for odd in odds:
            checked = compiled.check_request(given | {name: odd})
            assert [(v.column, v.code) for v in checked.violations] == [(name, "contract.length")]


def test_a_flood_of_unknown_columns_is_counted_and_cut(compiled: CompiledContract) -> None:
    """Ten thousand odd names cost a hundred messages, and a long one is cut."""
    flood = {f"{'x' * 1000}{i}": [1] for i in range(10_000)}
    checked = compiled.check_request({k: [v] for k, v in _GOOD.items()} | flood)
    assert checked.total == 10_000
    assert len(checked.violations) == 100
    assert max(len(v.message) for v in checked.violations) < 200


def test_a_request_without_rows_is_refused(compiled: CompiledContract) -> None:
    """Nothing asked is nothing answered."""
    nothing: list[Any] = [[], np.array([])]
    for empty in nothing:
        checked = compiled.check_request(dict.fromkeys(_GOOD, empty))
        assert [v.code for v in checked.violations] == ["contract.no-rows"]
    assert "contract.no-rows" in [v.code for v in compiled.check_request({}).violations]


def test_the_first_hundred_faults_are_told_and_all_are_counted(compiled: CompiledContract) -> None:
    """A million bad values do not make a million messages."""
    given = {name: [value] * 5000 for name, value in _GOOD.items()}
    checked = compiled.check_request(given | {"temp": ["x"] * 5000, "cargo": [None] * 5000})
    assert len(checked.violations) == 100
    assert checked.total == 10_000
    assert "10000 times; the first 100" in str(checked.error())


def test_context_columns_are_checked_and_handed_on_as_given(compiled: CompiledContract) -> None:
    """Time and id ride along; arrays come out as lists that JSON can hold."""
    when = ["2013-04-01T12:00:00Z"]
    checked = compiled.check_request({k: [v] for k, v in _GOOD.items()} | {"when": when})
    assert checked.context == {"when": when}
    times = np.array(["2013-04-01T12:00:00", "NaT"], dtype="datetime64[ns]")
    checked = compiled.check_request({k: [v] for k, v in _GOOD.items()} | {"when": times[:1]})
    assert checked.context == {"when": ["2013-04-01T12:00:00.000000Z"]}


def test_numpy_arrays_are_taken_as_columns(compiled: CompiledContract) -> None:
    """Binary tensors arrive as arrays, also of the shape (n, 1)."""
    given: dict[str, Any] = {
        "carrier": np.array(["UA", "B6"]),
        "tail": np.array([None, "N1"], dtype=object),
        "distance": np.array([[700], [800]], dtype=np.int32),
        "seats": np.array([np.nan, 3.0]),
        "temp": np.array([1.5, np.nan], dtype=np.float32),
        "wind": np.array([1, 2], dtype=np.uint64),
        "cargo": np.array([True, False]),
        "built": np.array(["2001-05-06", "NaT"], dtype="datetime64[D]"),
    }
    checked = compiled.check_request(given)
    assert checked.violations == ()
    assert checked.columns["temp"].dtype == np.float64
    refused = compiled.check_request(given | {"distance": np.array([1.0, 2.5])})
    assert [(v.row, v.code) for v in refused.violations] == [(1, "contract.wrong-type")]
    given["distance"][0, 0] = 1
    assert checked.columns["distance"][0] == 700, "the caller's array is not kept"


def test_an_array_stands_for_nullable_booleans_as_floats() -> None:
    """0, 1 and NaN are what the model's own arrays hold, so they are taken back."""
    column = Column(name="x", kind=Kind.BOOLEAN, nullable=True)
    compiled = CompiledContract(Contract(model="m", task=Task.BINARY, columns=(column,)))
    assert compiled.check_request({"x": np.array([0.0, 1.0, np.nan])}).ok
    assert not compiled.check_request({"x": np.array([0.5])}).ok


def test_a_contract_without_features_is_not_compiled() -> None:
    """There would be nothing to predict from."""
    with pytest.raises(ContractError, match="no feature"):
        CompiledContract(Contract(model="m", task=Task.BINARY, columns=_COLUMNS[-1:]))


def _frame(**changed: Any) -> pl.DataFrame:
    return pl.DataFrame({name: [value] for name, value in (_GOOD | changed).items()})


def test_a_table_may_have_more_columns_than_a_request(compiled: CompiledContract) -> None:
    """They are noted; the target is looked at when asked for."""
    frame = _frame(late=5, extra=1)
    report = compiled.check_frame(frame)
    assert report.ok
    assert report.notes == ("not in the contract and not used: extra",)
    assert compiled.check_frame(frame, target=True).warnings == {"contract.unseen-category": 1}


def test_a_table_without_a_feature_is_refused_whole(compiled: CompiledContract) -> None:
    """Each row is refused, and the column that was likely meant is named."""
    report = compiled.check_frame(_frame().rename({"distance": "distances"}))
    assert report.refused.all()
    assert "is it 'distances'" in report.violations[0].message
    nothing = compiled.check_frame(pl.DataFrame({"other": [1, 2]}))
    assert nothing.refused.tolist() == [True, True]
    with pytest.raises(ContractViolated, match="missing-column"):
        compiled.encode(_frame().drop("distance"))


def test_a_report_counts_each_rule_and_tells_the_soft_ones_too(compiled: CompiledContract) -> None:
    """``counts`` has column, code and rows; ``soft`` the values that only warn."""
    frame = pl.concat([_frame(), _frame(carrier="XX"), _frame(cargo=None)], how="vertical_relaxed")
    report = compiled.check_frame(frame)
    counted = [(c.column, c.code, c.rows, c.policy.refuses) for c in report.counts]
    assert counted == [
        ("carrier", "contract.unseen-category", 1, False),
        ("cargo", "contract.null", 1, True),
    ]
    assert [(v.row, v.value) for v in report.soft] == [(1, "'XX'")]
    assert report.refused.tolist() == [False, False, True]


def test_no_rows_encode_to_empty_arrays(compiled: CompiledContract) -> None:
    """An empty part of a batch is no error, though an empty table is a fault."""
    empty = _frame().clear()
    assert [v.code for v in compiled.check_frame(empty).violations] == ["contract.no-rows"]
    assert {len(array) for array in compiled.encode(empty).values()} == {0}
