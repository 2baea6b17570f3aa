"""Checking a request: columns of JSON scalars in, the model's arrays or every fault out.

This stands in the serving hot path. A small clean request (nearly all are) is read by plain loops
into one block of memory a dtype; whatever is not clean at first sight goes to the readers, which
say what is wrong. Both give the same arrays; a property test holds them together.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.contract import violations
from shipway.contract.readers import ColumnReader, object_array
from shipway.contract.schema import Contract, Role
from shipway.contract.values import FLOAT_HIGH, INT64_HIGH, INT64_LOW, are_timestamps
from shipway.contract.violations import LIMIT, Violation, shown, violated
from shipway.domain.events import Scalar
from shipway.domain.model import Kind
from shipway.errors import ContractError, ContractViolated

SMALL_ROWS: Final = 256
"""Up to so many rows plain loops beat numpy, which pays for each call."""

Values = Sequence[Scalar] | NDArray[Any]


class Checked(msgspec.Struct, frozen=True, gc=False):
    """A request after its check.

    ``columns`` are the features' arrays in contract order, empty when there are violations;
    ``context`` the time, id and group columns as given; ``violations`` the first 100 of
    ``total`` rejecting faults; ``warnings`` the rows that broke a soft rule, by code.
    """

    columns: dict[str, NDArray[Any]]
    context: dict[str, list[Scalar]]
    rows: int
    violations: tuple[Violation, ...] = ()
    warnings: dict[str, int] = {}
    total: int = 0

    @property
    def ok(self) -> bool:
        """True when the model may see it."""
        return self.total == 0

    def error(self, what: str = "the request") -> ContractViolated:
        """The error that refuses it; only when not :attr:`ok`."""
        return violated(self.violations, self.total, what=what)


class RequestChecker:
    """The request side of a contract, compiled once.

    Raises :class:`~shipway.errors.ContractError` for a contract without features.
    """

    def __init__(self, contract: Contract) -> None:
        if not contract.features:
            raise ContractError(
                f"the contract of {contract.model!r} has no feature",
                next_step="give at least one column the role feature in contract.yaml",
            )
        self._roles = {column.name: column.role for column in contract.columns}
        self._features = [ColumnReader(column) for column in contract.features]
        self._context = [
            ColumnReader(column) for column in contract.request_columns
            if column.role is not Role.FEATURE
        ]  # fmt: skip
        self._accepted = dict.fromkeys(r.name for r in (*self._features, *self._context))
        self._names = tuple(reader.name for reader in self._features)
        self._first = self._names[0]
        self._plan()

    def _plan(self) -> None:
        floats: list[ColumnReader] = []
        integers: list[ColumnReader] = []
        texts: list[ColumnReader] = []
        others: list[ColumnReader] = []
        for reader in self._features:
            if reader.kind is Kind.STRING and not reader.shaped:
                texts.append(reader)
            elif (
                reader.shaped
                or reader.known is not None
                or reader.kind not in (Kind.NUMBER, Kind.INTEGER)
            ):
                others.append(reader)
            else:
                (floats if reader.as_float else integers).append(reader)
        self._floats = tuple(
            (r.name, r.low, r.high, r.nullable, r.kind is Kind.INTEGER, r.range_acts)
            for r in floats
        )
        self._integers = tuple((r.name, r.low, r.high, r.range_acts) for r in integers)
        self._texts = tuple((r.name, r.known, r.nullable, r.unseen_acts) for r in texts)
        self._others = tuple(others)
        planned = [reader.name for reader in (*floats, *integers, *texts, *others)]
        # itemgetter of one index gives the item itself, so a contract of one column has its own.
        order = [planned.index(name) for name in self._names]
        self._ordered: Callable[[list[Any]], Iterable[Any]] = (
            itemgetter(*order) if len(order) > 1 else iter
        )

    def check(self, columns: Mapping[str, Values]) -> Checked:
        """The arrays of the features in *columns*, or every fault that they have."""
        first = columns.get(self._first)
        if first.__class__ is list and 0 < len(first) <= SMALL_ROWS:
            checked = self.small(columns, len(first))
            if checked is not None:
                return checked
        return self._careful(columns)

    def small(self, columns: Mapping[str, Values], rows: int) -> Checked | None:
        """The request of so many *rows* if it is clean, else None.

        It misses nothing, but explains nothing either; :meth:`check` does both.
        """
        context: dict[str, list[Scalar]] = {}
        soft: dict[str, int] = {}
        if len(columns) != len(self._names) and not self._small_context(
            columns, rows, context, soft
        ):
            return None
        try:
            parts = self._small_floats(columns, rows, soft) if self._floats else []
            if parts is not None and self._integers:
                parts = self._small_integers(columns, rows, soft, parts)
            if parts is not None and self._texts:
                parts = self._small_texts(columns, rows, soft, parts)
            if parts is not None and self._others:
                parts = self._small_others(columns, rows, soft, parts)
        except (KeyError, OverflowError):
            return None
        if parts is None:
            return None
        arrays = dict(zip(self._names, self._ordered(parts), strict=True))
        return Checked(arrays, context, rows, (), soft)

    def _small_floats(
        self, columns: Mapping[str, Values], rows: int, soft: dict[str, int]
    ) -> list[Any] | None:
        block: list[float] = []
        append = block.append
        for name, low, high, nullable, whole, acts in self._floats:
            values = columns[name]
            if values.__class__ is not list or len(values) != rows:
                return None
            for value in values:
                kind = value.__class__
                if kind is float or kind is int:
                    if low <= value <= high:
                        if whole and kind is float and not value.is_integer():
                            return None
                    elif value != value and nullable:  # noqa: PLR0124 - NaN is not itself
                        value = np.nan  # noqa: PLW2901 - its one bit pattern
                    elif acts or not _only_out_of_range(value, low, high, whole):
                        return None
                    else:
                        soft[violations.OUT_OF_RANGE] = soft.get(violations.OUT_OF_RANGE, 0) + 1
                    append(value + 0.0 if whole else value)  # no negative zero in whole numbers
                elif value is None and nullable:
                    append(np.nan)
                else:
                    return None
        return list(np.array(block, dtype=np.float64).reshape(-1, rows))

    def _small_integers(
        self, columns: Mapping[str, Values], rows: int, soft: dict[str, int], parts: list[Any]
    ) -> list[Any] | None:
        block: list[int] = []
        append = block.append
        for name, low, high, acts in self._integers:
            values = columns[name]
            if values.__class__ is not list or len(values) != rows:
                return None
            for value in values:
                kind = value.__class__
                if kind is float and value.is_integer():
                    value = int(value)  # noqa: PLW2901
                elif kind is not int:
                    return None
                if not low <= value <= high:
                    if acts or not INT64_LOW <= value <= INT64_HIGH:
                        return None
                    soft[violations.OUT_OF_RANGE] = soft.get(violations.OUT_OF_RANGE, 0) + 1
                append(value)
        parts.extend(np.array(block, dtype=np.int64).reshape(-1, rows))
        return parts

    def _small_texts(
        self, columns: Mapping[str, Values], rows: int, soft: dict[str, int], parts: list[Any]
    ) -> list[Any] | None:
        block: list[Scalar] = []
        for name, known, nullable, acts in self._texts:
            values = columns[name]
            if values.__class__ is not list or len(values) != rows:
                return None
            for value in values:
                if value.__class__ is str:
                    if known is not None and value not in known:
                        if acts:
                            return None
                        soft[violations.UNSEEN] = soft.get(violations.UNSEEN, 0) + 1
                elif value is not None or not nullable:
                    return None
            block += values
        parts.extend(object_array(block).reshape(-1, rows))
        return parts

    def _small_others(
        self, columns: Mapping[str, Values], rows: int, soft: dict[str, int], parts: list[Any]
    ) -> list[Any] | None:
        for reader in self._others:
            values = columns[reader.name]
            if values.__class__ is not list or len(values) != rows:
                return None
            reading = reader.read(values)
            if reading.total:
                return None
            _count_soft(soft, reading.soft)
            parts.append(reading.array)
        return parts

    def _small_context(
        self,
        columns: Mapping[str, Values],
        rows: int,
        context: dict[str, list[Scalar]],
        soft: dict[str, int],
    ) -> bool:
        for reader in self._context:
            values = columns.get(reader.name)
            if values is None:
                continue
            if values.__class__ is not list or len(values) != rows:
                return False
            if reader.kind is Kind.TIMESTAMP and are_timestamps(values):
                context[reader.name] = values
                continue
            reading = reader.read(values)
            if reading.total:
                return False
            _count_soft(soft, reading.soft)
            context[reader.name] = values
        return len(columns) == len(self._names) + len(context)

    def _careful(self, columns: Mapping[str, Values]) -> Checked:
        rows = _row_count(columns)
        absent = [name for name in self._names if name not in columns]
        strange = [name for name in columns if name not in self._accepted]
        found = [*self._column_faults(absent, strange[:LIMIT])]
        total = len(absent) + len(strange)
        if rows == 0:
            text = "a request carries at least one row"
            found.append(Violation(None, "", "rows", violations.NO_ROWS, "0", text))
            total += 1
        soft: dict[str, int] = {}
        arrays: dict[str, NDArray[Any]] = {}
        context: dict[str, list[Scalar]] = {}
        for reader in (*self._features, *self._context):
            if reader.name not in columns:
                continue
            given = columns[reader.name]
            values = _flat(given)
            if values is None or len(values) != rows:
                found.append(_length_fault(reader.name, given, rows))
                total += 1
                continue
            reading = reader.read(values)
            total += reading.total
            found += reading.found
            _count_soft(soft, reading.soft)
            if reading.array is not None and reader.column.role is Role.FEATURE:
                arrays[reader.name] = reading.array
            elif reading.array is not None:
                context[reader.name] = _listed(values)
        return Checked({} if total else arrays, context, rows, tuple(found[:LIMIT]), soft, total)

    def _column_faults(self, absent: list[str], strange: list[str]) -> Iterable[Violation]:
        for name in absent:
            near = difflib.get_close_matches(name, strange, n=1)
            hint = f"; is it {shown(near[0])} in the request?" if near else ""
            text = f"the column {name!r} is missing{hint}"
            yield Violation(None, name, "columns", violations.MISSING_COLUMN, "", text)
        for name in strange:
            label = shown(name)
            text = f"there is no column {label} in the contract{self._meant(name, absent)}"
            yield Violation(None, label[1:-1], "columns", violations.UNEXPECTED_COLUMN, "", text)

    def _meant(self, name: str, absent: list[str]) -> str:
        role = self._roles.get(name)
        if role is not None:
            return f" for requests: it is {'the ' if role is Role.TARGET else ''}{role.value}"
        near = difflib.get_close_matches(name, absent or self._accepted, n=1)
        return f"; did you mean {near[0]!r}?" if near else ""


def _only_out_of_range(value: float, low: float, high: float, whole: bool) -> bool:
    """True if *value* is in order but for its range; what is not clear at once is not."""
    if whole:
        return INT64_LOW <= value <= INT64_HIGH and float(value).is_integer()
    return -FLOAT_HIGH <= value <= FLOAT_HIGH and not low <= float(value) <= high


def _count_soft(soft: dict[str, int], found: Mapping[str, int]) -> None:
    for code, count in found.items():
        soft[code] = soft.get(code, 0) + count


def _row_count(columns: Mapping[str, Values]) -> int:
    """The length that most columns have; of equally many the longer, so that a gap is seen."""
    lengths = Counter(len(values) for values in map(_flat, columns.values()) if values is not None)
    return max(lengths, key=lambda length: (lengths[length], length), default=0)


def _flat(values: Values) -> Values | None:
    """*values* in one dimension (an array may also have the shape (n, 1)), or None."""
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            return values.reshape(-1)
        return values if values.ndim == 1 else None
    return values if isinstance(values, list | tuple) else None


def _length_fault(name: str, given: Values, rows: int) -> Violation:
    flat = _flat(given)
    size = "no list" if flat is None else str(len(flat))
    text = f"the column {name!r} has {size} values, the request has {rows} rows"
    if flat is None:
        text = f"the column {name!r} is not a list of values"
    return Violation(None, name, "length", violations.LENGTH, size, text)


def _listed(values: Values) -> list[Scalar]:
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "M":
            texts = np.datetime_as_string(values.astype("datetime64[us]"), timezone="UTC")
            return [None if text == "NaT" else str(text) for text in texts]
        listed: list[Scalar] = values.tolist()
        return listed
    return list(values)
