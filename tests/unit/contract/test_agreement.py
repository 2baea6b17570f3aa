"""A row has the same faults, and the same arrays, whichever way it comes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import numpy as np
import polars as pl
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipway.contract.compiled import Checked, CompiledContract
from shipway.contract.example import row_schema
from shipway.contract.rules import fault_of_fill, holds_no_whole_number
from shipway.contract.schema import Column, Contract, Policy, Role
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import Kind

_INT64 = st.integers(-(2**63), 2**63 - 1)
_FLOATS = st.one_of(
    st.floats(width=64),
    st.integers(-4, 4).map(float),
    st.sampled_from([2.0**53, 2.0**53 + 2, 2.0**63, -(2.0**63), 1e300, -0.0]),
)
_INTEGERS = st.one_of(
    st.integers(-4, 4), _INT64, st.sampled_from([2**53 + 1, -(2**53) - 1, 2**63 - 1])
)
_WORDS = st.one_of(st.sampled_from(["a", "b", "1", "true", ""]), st.text(max_size=3))
_MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))  # noqa: DTZ001
_ISO = st.one_of(
    _MOMENTS.map(dt.datetime.isoformat),
    st.dates().map(dt.date.isoformat),
    st.sampled_from(["2013-04-01T12:00:00Z", "2013-04-01T00:00+02:00", "soon", "2013-13-01"]),
)

_COLUMNS: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    (pl.Float64(), _FLOATS),
    (pl.Float32(), st.floats(width=32)),
    (pl.Int64(), _INTEGERS),
    (pl.Int8(), st.integers(-128, 127)),
    (pl.UInt64(), st.one_of(st.integers(0, 4), st.integers(0, 2**64 - 1))),
    (pl.Boolean(), st.booleans()),
    (pl.String(), _WORDS),
    (pl.Categorical(), _WORDS),
    (pl.String(), _ISO),
    (pl.Null(), st.none()),
    (pl.Date(), st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30))),
    (pl.Datetime("us"), _MOMENTS),
    (pl.Datetime("us"), st.dates().map(lambda day: dt.datetime.combine(day, dt.time()))),
    (pl.Datetime("us", "UTC"), _MOMENTS),
]

_TAME: dict[Kind, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    Kind.NUMBER: (pl.Float64(), st.floats(allow_nan=False, allow_infinity=False)),
    Kind.INTEGER: (pl.Int64(), _INTEGERS),
    Kind.BOOLEAN: (pl.Boolean(), st.booleans()),
    Kind.STRING: (pl.String(), _WORDS),
    Kind.DATE: (pl.Date(), st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30))),
    Kind.TIMESTAMP: (pl.Datetime("us"), _MOMENTS),
}
_POLICIES = st.sampled_from([Policy.WARN, Policy.WARN, *Policy])
_NAMES_POLICIES = st.sampled_from([Policy.WARN, Policy.REJECT, Policy.QUARANTINE, Policy.IMPUTE])
_FILLS: dict[Kind, list[Scalar]] = {
    Kind.NUMBER: [0.0, 1.5, -3.0],
    Kind.INTEGER: [0, 1, -3],
    Kind.BOOLEAN: [True, False],
    Kind.STRING: ["a", "1", "true", ""],
    Kind.DATE: ["2013-04-01"],
    Kind.TIMESTAMP: ["2013-04-01T12:00:00+02:00"],
}


@st.composite
def _column(draw: st.DrawFn, name: str, role: Role = Role.FEATURE) -> Column:
    bounds = sorted(draw(st.lists(st.one_of(_FLOATS, st.just(2.0**53)), min_size=2, max_size=2)))
    finite = [bound if abs(bound) < float("inf") else None for bound in bounds]
    drawn = Column(
        name=name,
        role=role,
        kind=draw(st.sampled_from(list(Kind))),
        nullable=draw(st.booleans()),
        missing=draw(st.sampled_from([Policy.REJECT, Policy.QUARANTINE, Policy.IMPUTE])),
        minimum=draw(st.sampled_from([finite[0], None])),
        maximum=draw(st.sampled_from([finite[1], None])),
        out_of_range=draw(_POLICIES),
        categories=draw(st.sampled_from([None, ("a", "b"), ("1", "2", "-3"), ("true",), ()])),
        unseen=draw(_NAMES_POLICIES),
        pattern=draw(st.sampled_from(["", "", "[ab0-9]*", "[a-z]+", "[A-Z]{2}-?[0-9]{1,3}"])),
        mismatched=draw(_NAMES_POLICIES),
    )
    return _as_a_file_may_say(drawn)


def _as_a_file_may_say(drawn: Column) -> Column:
    """*drawn* with a value to impute that keeps its promise, or without policies that need one."""
    if drawn.out_of_range is Policy.CLIP and holds_no_whole_number(drawn):
        drawn = msgspec.structs.replace(drawn, out_of_range=Policy.REJECT)
    for fill in _FILLS[drawn.kind]:
        filled = msgspec.structs.replace(drawn, fill=fill)
        if not fault_of_fill(filled):
            return filled
    named = ("missing", "out_of_range", "unseen", "mismatched")
    imputing = [name for name in named if getattr(drawn, name) is Policy.IMPUTE]
    return msgspec.structs.replace(drawn, **dict.fromkeys(imputing, Policy.QUARANTINE))


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Contract, pl.DataFrame]:
    names = ["x", "y", "z"][: draw(st.integers(1, 3))]
    columns = [draw(_column(name)) for name in names]
    if draw(st.booleans()):
        columns.append(draw(_column("when", Role.TIME)))
    rows = draw(st.integers(1, 6))
    tame = draw(st.booleans())
    data = {}
    for column in columns:
        dtype, values = draw(
            st.sampled_from([_TAME[column.kind]] if tame else _fitting(column.kind))
        )
        if column.nullable or not tame:
            values = st.one_of(values, values, st.none())
        cells = draw(st.lists(values, min_size=rows, max_size=rows))
        data[column.name] = pl.Series(column.name, cells, dtype=dtype, strict=False)
    contract = Contract(model="m", task=Task.REGRESSION, columns=tuple(columns))
    return contract, pl.DataFrame(data)


def _fitting(kind: Kind) -> list[tuple[pl.DataType, st.SearchStrategy[Any]]]:
    """Every dtype, but those that a kind is made of several times over."""
    wanted: dict[Kind, tuple[Any, ...]] = {
        Kind.NUMBER: (pl.Float64, pl.Int64),
        Kind.INTEGER: (pl.Int64, pl.Float64),
        Kind.BOOLEAN: (pl.Boolean,),
        Kind.STRING: (pl.String,),
        Kind.DATE: (pl.Date, pl.String),
        Kind.TIMESTAMP: (pl.Datetime, pl.String),
    }
    return _COLUMNS + 6 * [pair for pair in _COLUMNS if pair[0] in wanted[kind]]


def _bits(array: NDArray[Any]) -> tuple[str, Any]:
    """An array as something that is equal only to an array of the same bits."""
    return str(array.dtype), array.tolist() if array.dtype == object else array.tobytes()


def _same(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> bool:
    return list(left) == list(right) and all(_bits(left[k]) == _bits(right[k]) for k in left)


def _beyond_float(arrays: dict[str, NDArray[Any]]) -> bool:
    """True where float64 holds whole numbers that it cannot tell apart (a nullable integer)."""
    floats = [array for array in arrays.values() if array.dtype == np.float64]
    return any(bool((np.abs(array) >= 2.0**53).any()) for array in floats)


def _faults(checked: Checked) -> list[tuple[Any, ...]]:
    return [(v.column, v.row, v.code, v.rule, v.message) for v in checked.violations]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_cases())
def test_a_table_and_a_request_of_its_rows_agree(case: tuple[Contract, pl.DataFrame]) -> None:
    """Faults, warnings, refused rows and encoded arrays are the same for both."""
    contract, frame = case
    compiled = CompiledContract(contract)
    report = compiled.check_frame(frame)
    checked = compiled.check_request(frame.to_dict(as_series=False))
    event(f"accepted: {checked.ok}, warned: {bool(checked.warnings)}")
    told = [(v.column, v.row, v.code, v.rule, v.message) for v in report.violations]
    assert told == _faults(checked)
    assert (report.total, report.warnings) == (checked.total, checked.warnings)
    assert np.flatnonzero(report.refused).tolist() == sorted(
        {v.row or 0 for v in checked.violations}
    )
    if checked.ok:
        encoded = compiled.encode(frame)
        assert _same(encoded, checked.columns)
        if not _beyond_float(encoded):
            when: dict[str, Any] = {
                k: v for k, v in frame.to_dict(as_series=False).items() if k == "when"
            }
            again = compiled.check_request(when | encoded)
            assert again.ok
            assert _same(again.columns, encoded)
            if not any(reader.mends for reader in compiled._requests._features):
                assert again.warnings == checked.warnings
    else:
        assert checked.columns == {}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_cases())
def test_the_quick_path_says_what_the_careful_one_says(
    case: tuple[Contract, pl.DataFrame],
) -> None:
    """A small request read by plain loops equals the same request read column by column."""
    contract, frame = case
    columns = frame.to_dict(as_series=False)
    compiled = CompiledContract(contract)
    quick, careful = compiled.check_request(columns), compiled._requests._careful(columns)
    assert _faults(quick) == _faults(careful)
    assert (quick.total, quick.warnings, quick.rows) == (
        careful.total,
        careful.warnings,
        careful.rows,
    )
    assert quick.context == careful.context
    assert _same(quick.columns, careful.columns)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_cases())
def test_whole_columns_say_what_single_values_say(case: tuple[Contract, pl.DataFrame]) -> None:
    """A column read by numpy at once equals the same column read value by value."""
    contract, frame = case
    for reader in CompiledContract(contract)._requests._features:
        for values in (frame[reader.name].to_list(), _arrays(frame[reader.name])):
            whole, each = reader._whole(values), reader._each(values)
            if whole is not None:
                assert whole.array is not None
                assert each.array is not None
                assert _bits(whole.array) == _bits(each.array)
                assert whole.soft == each.soft


_JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-4, 4),
    st.integers(-(2**53), 2**53),
    st.sampled_from([2**63, -(2**63), 2**63 - 1, 1e300, 2.0**63, 0.5, -0.0]),
    st.floats(allow_nan=False, allow_infinity=False),
    _WORDS,
    st.sampled_from(["AB-1", "AB12", "ab"]),
)
_JSON_KINDS = (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN, Kind.STRING)
_OF_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.NUMBER: st.one_of(st.integers(-4, 4), st.floats(-5, 5)),
    Kind.INTEGER: st.integers(-4, 4),
    Kind.BOOLEAN: st.booleans(),
    Kind.STRING: st.sampled_from(["a", "b", "1", "ab", "AB-1", ""]),
}


@st.composite
def _rows(draw: st.DrawFn) -> tuple[Contract, dict[str, Any]]:
    """A contract of what JSON has types for, and a row that may keep it."""
    drawn = [draw(_column(name)) for name in ["x", "y"][: draw(st.integers(1, 2))]]
    kinds = [draw(st.sampled_from(_JSON_KINDS)) for _ in drawn]
    columns = tuple(
        _as_a_file_may_say(msgspec.structs.replace(column, kind=kind, fill=None))
        for column, kind in zip(drawn, kinds, strict=True)
    )
    row = {column.name: draw(st.one_of(_OF_KIND[column.kind], _JSON)) for column in columns}
    return Contract(model="m", task=Task.REGRESSION, columns=columns), row


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_rows())
def test_json_schema_takes_the_rows_that_requests_and_tables_take(
    case: tuple[Contract, dict[str, Any]],
) -> None:
    """What a row's schema accepts is answered, and what it does not is refused, in all three."""
    contract, row = case
    compiled = CompiledContract(contract)
    schema = row_schema(contract)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid(row)
    event(f"valid: {valid}")
    columns = {name: [value] for name, value in row.items()}
    assert compiled.check_request(columns).ok is valid
    assert compiled.check_frame(pl.DataFrame(columns)).ok is valid


def _arrays(series: pl.Series) -> Any:
    return series.to_list() if series.dtype == pl.Null else series.to_numpy()


def test_a_nullable_integer_beyond_two_to_the_53_is_held_against_its_range_exactly() -> None:
    """The array is float64 and rounds it, the range does not."""
    column = Column(name="x", kind=Kind.INTEGER, nullable=True, maximum=2.0**53)
    compiled = CompiledContract(Contract(model="m", task=Task.REGRESSION, columns=(column,)))
    for rows in (1, 1000):
        checked = compiled.check_request({"x": [2**53 + 1] * rows})
        assert checked.warnings == {"contract.out-of-range": rows}
        frame = pl.DataFrame({"x": [2**53 + 1] * rows})
        assert compiled.check_frame(frame).warnings == {"contract.out-of-range": rows}
