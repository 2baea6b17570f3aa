"""Checking a table: the same promise as for a request, as one query over all of its columns."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.contract import violations
from shipway.contract.patterns import regex_of
from shipway.contract.readers import TIMES, ColumnReader
from shipway.contract.schema import Contract, Policy, Role
from shipway.contract.values import INT64_HIGH, INT64_LOW, parse_date, parse_timestamp
from shipway.contract.violations import LIMIT, Violation, value_violation, violated
from shipway.domain.model import Kind
from shipway.errors import ContractViolated

_DTYPES: dict[Kind, pl.DataType] = {
    Kind.NUMBER: pl.Float64(),
    Kind.INTEGER: pl.Int64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.STRING: pl.String(),
    Kind.DATE: pl.Int64(),
    Kind.TIMESTAMP: pl.Int64(),
}
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_DAY_US = 86_400_000_000


class RuleCount(msgspec.Struct, frozen=True):
    """How many rows broke one rule of one column, and what happens to them."""

    column: str
    code: str
    rows: int
    policy: Policy


class FrameReport(msgspec.Struct, frozen=True):
    """A table after its check.

    ``violations`` are the first 100 of ``total`` rejecting faults and ``soft`` the first 100 that
    only count; ``counts`` has every broken rule with its rows, ``warnings`` the soft ones by code.
    ``refused`` is True for each row that a request would have been refused for, ``expected`` for
    those of them that only rules with the policy ``quarantine`` refuse. ``notes`` name the columns
    that the contract does not know: a table may have more than a request.
    """

    rows: int
    violations: tuple[Violation, ...]
    total: int
    soft: tuple[Violation, ...]
    warnings: dict[str, int]
    counts: tuple[RuleCount, ...]
    refused: NDArray[np.bool_]
    expected: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when the model may see every row."""
        return self.total == 0

    def error(self, what: str = "the table") -> ContractViolated:
        """The error that refuses it; only when not :attr:`ok`."""
        return violated(self.violations, self.total, what=what)


class _Rule(msgspec.Struct):
    reader: ColumnReader
    code: str
    policy: Policy
    broken: pl.Expr
    rows: int = 0


class FrameChecker:
    """The table side of a contract, compiled once."""

    def __init__(self, contract: Contract) -> None:
        self._known = {column.name for column in contract.columns}
        self._features = [ColumnReader(column) for column in contract.features]
        self._context = [
            ColumnReader(column) for column in contract.request_columns
            if column.role is not Role.FEATURE
        ]  # fmt: skip
        self._target = [ColumnReader(column) for column in contract.having(Role.TARGET)]

    def check(self, frame: pl.DataFrame, *, target: bool) -> FrameReport:
        """Every fault of *frame*; that of the target's values only with *target*."""
        wanted = [*self._features, *self._context, *(self._target if target else [])]
        present = [reader for reader in wanted if reader.name in frame.columns]
        prepared = _prepared(frame, present)
        rules = [
            rule for reader in _suspects(present, prepared) for rule in _rules(reader, prepared)
        ]
        if rules:
            sums = [rule.broken.sum().alias(str(index)) for index, rule in enumerate(rules)]
            for rule, rows in zip(rules, prepared.select(sums).row(0), strict=True):
                rule.rows = int(rows or 0)
        broken = [rule for rule in rules if rule.rows]
        hard = [rule for rule in broken if rule.policy.refuses]
        soft = [rule for rule in broken if not rule.policy.refuses]
        whole = [*self._column_faults(frame)]
        refused = _refused(prepared, hard, frame.height, everything=bool(whole))
        worse = [rule for rule in hard if rule.policy is Policy.REJECT]
        warnings: dict[str, int] = {}
        for rule in soft:
            warnings[rule.code] = warnings.get(rule.code, 0) + rule.rows
        return FrameReport(
            rows=frame.height,
            violations=(*whole, *_first(frame, prepared, hard))[:LIMIT],
            total=len(whole) + sum(rule.rows for rule in hard),
            soft=_first(frame, prepared, soft),
            warnings=warnings,
            counts=tuple(RuleCount(r.reader.name, r.code, r.rows, r.policy) for r in broken),
            refused=refused,
            expected=refused & ~_refused(prepared, worse, frame.height, everything=bool(whole)),
            notes=self._notes(frame),
        )

    def encode(self, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """The features of a *frame* without faults as the model takes them."""
        prepared = _prepared(frame, self._features)
        mended = [
            _mended(reader, prepared) for reader in _suspects(self._features, prepared)
            if reader.mends
        ]  # fmt: skip
        prepared = prepared.with_columns(mended)
        return {reader.name: _encoded(prepared[reader.name], reader) for reader in self._features}

    def _column_faults(self, frame: pl.DataFrame) -> Iterable[Violation]:
        extra = [name for name in frame.columns if name not in self._known]
        for reader in self._features:
            if reader.name not in frame.columns:
                near = difflib.get_close_matches(reader.name, extra, n=1)
                hint = f"; is it {near[0]!r} in the table?" if near else ""
                text = f"the column {reader.name!r} is missing{hint}"
                yield Violation(None, reader.name, "columns", violations.MISSING_COLUMN, "", text)
        if frame.height == 0:
            yield Violation(None, "", "rows", violations.NO_ROWS, "0", "the table has no rows")

    def _notes(self, frame: pl.DataFrame) -> tuple[str, ...]:
        extra = [name for name in frame.columns if name not in self._known]
        if not extra:
            return ()
        more = f" and {len(extra) - 10} more" if len(extra) > 10 else ""
        return (f"not in the contract and not used: {', '.join(extra[:10])}{more}",)


def _fault_of(name: str) -> str:
    """The name of the added column that says what is wrong with a time: 0 is nothing."""
    return f"\0fault:{name}"


_UNREADABLE, _NOT_A_TIME = 1, 2


def _prepared(frame: pl.DataFrame, readers: Iterable[ColumnReader]) -> pl.DataFrame:
    """The columns of *readers* with times as microseconds and decimals as floats."""
    columns: list[pl.Series] = []
    for reader in readers:
        series = frame[reader.name]
        if reader.kind in TIMES:
            stamps, fault = _times(series, reader.kind)
            columns += [stamps.alias(reader.name), fault.alias(_fault_of(reader.name))]
        elif series.dtype == pl.Decimal:
            columns.append(series.cast(pl.Float64))
        else:
            columns.append(series)
    return pl.DataFrame(columns)


def _times(series: pl.Series, kind: Kind) -> tuple[pl.Series, pl.Series]:
    """*series* as microseconds since 1970 (null where unreadable), and the fault of each."""
    dtype = series.dtype
    if dtype in _TEXTS:
        texts = series.cast(pl.String)
        distinct = texts.drop_nulls().unique()
        parse: Callable[[str], int | None] = parse_date if kind is Kind.DATE else parse_timestamp
        parsed = pl.Series([parse(text) for text in distinct.to_list()], dtype=pl.Int64)
        stamps = texts.replace_strict(distinct, parsed, default=None, return_dtype=pl.Int64)
        bad = texts.is_not_null() & stamps.is_null()
        return stamps, bad.cast(pl.UInt8) * _UNREADABLE
    if dtype in (pl.Date, pl.Datetime):
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
            series = series.dt.replace_time_zone("UTC")
        stamps = series.cast(pl.Datetime("us")).to_physical()
        timed = (stamps % _DAY_US != 0).fill_null(value=False)
        if kind is Kind.DATE:
            return stamps, timed.cast(pl.UInt8) * _UNREADABLE
        return stamps, pl.repeat(0, len(series), dtype=pl.UInt8, eager=True)
    missing = series.is_null() | series.is_nan() if dtype.is_float() else series.is_null()
    nothing = pl.repeat(None, len(series), dtype=pl.Int64, eager=True)
    return nothing, (~missing).cast(pl.UInt8) * _NOT_A_TIME


def _suspects(readers: Iterable[ColumnReader], prepared: pl.DataFrame) -> list[ColumnReader]:
    """Those of *readers* whose column may break a rule: not one that a glance shows to be clean.

    Least, greatest and count of nulls of a column of numbers say more cheaply that nothing is wrong
    with it than the rules do, which say what is.
    """
    if not prepared.height:
        return []
    glances = [_glance(reader, prepared.schema[reader.name]) for reader in readers]
    asked = [glance.alias(str(place)) for place, glance in enumerate(glances) if glance is not None]
    clean = prepared.select(asked).row(0, named=True) if asked else {}
    return [reader for place, reader in enumerate(readers) if not clean.get(str(place))]


def _glance(reader: ColumnReader, dtype: pl.DataType) -> pl.Expr | None:
    """Whether a column of numbers is surely clean; None where only the rules can tell."""
    wide = dtype in (pl.UInt64, pl.Int128, pl.UInt128)
    whole = reader.kind is Kind.INTEGER
    if not reader.ranged or reader.known is not None or wide:
        return None
    if not (dtype.is_integer() or (dtype.is_float() and not whole)):
        return None
    column = pl.col(reader.name)
    # Of a column of NaN alone, or of nothing, there is no least: neither is clean at a glance.
    clean = (column.min() >= _literal(reader, reader.low)) & (
        column.max() <= _literal(reader, reader.high)
    )
    if not reader.nullable:
        clean &= column.null_count() == 0
        if dtype.is_float():
            clean &= ~column.is_nan().any()
    return clean


def _rules(reader: ColumnReader, prepared: pl.DataFrame) -> list[_Rule]:
    """What can be wrong in one column, in the order in which a row's faults are told."""
    column = pl.col(reader.name)
    dtype = prepared.schema[reader.name]
    missing = column.is_null() | column.is_nan() if dtype.is_float() else column.is_null()
    if reader.kind in TIMES:
        missing &= pl.col(_fault_of(reader.name)) == 0
    typed, value = _typed(reader, dtype, missing)
    absent = _Rule(reader, violations.NULL, reader.column.missing, missing)
    rules = [] if reader.nullable else [absent]
    rules += [_Rule(reader, code, Policy.REJECT, broken) for code, broken in typed]
    if value is None:
        return rules
    faulty = [broken for _, broken in typed]
    judged = ~pl.any_horizontal(missing, *faulty)
    if reader.ranged and not (reader.column.minimum is reader.column.maximum is None):
        outside = judged & ~value.is_between(
            _literal(reader, reader.low), _literal(reader, reader.high)
        )
        rules.append(_Rule(reader, violations.OUT_OF_RANGE, reader.column.out_of_range, outside))
    if reader.known is not None:
        known = pl.lit(pl.Series(sorted(reader.known), dtype=pl.String)).implode()
        unseen = judged & ~value.cast(pl.String).is_in(known)
        rules.append(_Rule(reader, violations.UNSEEN, reader.column.unseen, unseen))
    if reader.shaped:
        mismatched = judged & ~value.str.contains(regex_of(reader.column.pattern))
        rules.append(_Rule(reader, violations.PATTERN, reader.column.mismatched, mismatched))
    return rules


def _mended(reader: ColumnReader, prepared: pl.DataFrame) -> pl.Expr:
    """The column of *reader* with what its rules impute or clip."""
    dtype = _DTYPES[reader.kind]
    value = pl.col(reader.name).cast(dtype, strict=False)
    imputed, clipped = [], []
    for rule in _rules(reader, prepared):
        if rule.policy is Policy.IMPUTE:
            imputed.append(rule.broken)
        elif rule.policy is Policy.CLIP:
            clipped.append(rule.broken)
    if clipped:
        bounds = _literal(reader, reader.low), _literal(reader, reader.high)
        value = pl.when(pl.any_horizontal(clipped)).then(value.clip(*bounds)).otherwise(value)
    if imputed:
        fill = pl.lit(reader.fill, dtype=dtype)
        value = pl.when(pl.any_horizontal(imputed)).then(fill).otherwise(value)
    return value.alias(reader.name)


def _literal(reader: ColumnReader, bound: float) -> pl.Expr:
    return pl.lit(bound, dtype=pl.Int64 if reader.kind is Kind.INTEGER else pl.Float64)


def _typed(
    reader: ColumnReader, dtype: pl.DataType, missing: pl.Expr
) -> tuple[list[tuple[str, pl.Expr]], pl.Expr | None]:
    """The faults of type by code, and the value to hold against range and categories."""
    column = pl.col(reader.name)
    if reader.kind in TIMES:
        fault = pl.col(_fault_of(reader.name))
        return [
            (violations.WRONG_TYPE, fault == _NOT_A_TIME),
            (violations.BAD_TIME, fault == _UNREADABLE),
        ], None
    if dtype == pl.Null:
        return [], None
    if reader.kind is Kind.NUMBER and dtype.is_numeric():
        infinite = [(violations.NOT_FINITE, column.is_infinite())] if dtype.is_float() else []
        return infinite, column.cast(pl.Float64)
    if reader.kind is Kind.INTEGER and dtype.is_numeric():
        return _typed_integer(column, dtype, missing), column.cast(pl.Int64, strict=False)
    fits = dtype in _TEXTS if reader.kind is Kind.STRING else dtype == pl.Boolean
    if fits and reader.kind in (Kind.STRING, Kind.BOOLEAN):
        return [], column.cast(pl.String)
    return [(violations.WRONG_TYPE, ~missing)], None


def _typed_integer(
    column: pl.Expr, dtype: pl.DataType, missing: pl.Expr
) -> list[tuple[str, pl.Expr]]:
    if not dtype.is_float():
        wide = dtype in (pl.UInt64, pl.Int128, pl.UInt128)
        large = (column > INT64_HIGH) | (column < INT64_LOW)
        return [(violations.TOO_LARGE, large)] if wide else []
    finite = ~missing & column.is_finite()
    whole = finite & (column == column.floor())
    return [
        (violations.WRONG_TYPE, finite & ~whole),
        (violations.NOT_FINITE, column.is_infinite()),
        (violations.TOO_LARGE, whole & ~((column >= -(2.0**63)) & (column < 2.0**63))),
    ]


def _first(
    frame: pl.DataFrame, prepared: pl.DataFrame, rules: list[_Rule]
) -> tuple[Violation, ...]:
    """The first 100 faults: column by column, and within a column row by row."""
    found: list[Violation] = []
    for name in dict.fromkeys(rule.reader.name for rule in rules):
        if len(found) >= LIMIT:
            break
        places: list[tuple[int, str, ColumnReader]] = []
        for rule in (rule for rule in rules if rule.reader.name == name):
            rows = prepared.select(rule.broken.arg_true().head(LIMIT)).to_series().to_list()
            places += [(row, rule.code, rule.reader) for row in rows]
        places.sort(key=lambda place: place[0])
        found += [
            value_violation(reader.column, code, row, _plain(frame[name][row]))
            for row, code, reader in places[:LIMIT]
        ]
    return tuple(found[:LIMIT])


def _plain(value: object) -> object:
    """*value* as it is shown: the cell of a list is one."""
    return value.to_list() if isinstance(value, pl.Series) else value


def _refused(
    prepared: pl.DataFrame, hard: list[_Rule], rows: int, *, everything: bool
) -> NDArray[np.bool_]:
    if everything or not hard:
        return np.full(rows, everything, dtype=np.bool_)
    mask = prepared.select(pl.any_horizontal(rule.broken for rule in hard)).to_series()
    mask = mask.fill_null(value=False)
    refused: NDArray[np.bool_] = mask.to_numpy()
    return refused


def _encoded(series: pl.Series, reader: ColumnReader) -> NDArray[Any]:
    """One faultless column as the array of its kind; the bits are those of a checked request."""
    if reader.kind is Kind.STRING:
        texts: NDArray[Any] = series.cast(pl.String).to_numpy(writable=True)
        return texts if texts.dtype == object else texts.astype(object)
    if reader.kind in TIMES:
        stamps = series.fill_null(np.iinfo(np.int64).min).to_numpy(writable=True)
        return stamps.view("datetime64[us]")
    if reader.as_float:
        numbers: NDArray[np.float64] = series.cast(pl.Float64).to_numpy()
        missing = np.isnan(numbers)
        if missing.any():
            numbers = np.where(missing, np.nan, numbers)  # its one bit pattern
        return numbers + 0.0 if reader.kind is Kind.INTEGER else numbers  # nor a negative zero
    dtype = pl.Boolean if reader.kind is Kind.BOOLEAN else pl.Int64
    return series.cast(dtype).to_numpy(writable=True)
