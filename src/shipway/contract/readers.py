"""Reading one column of a request into the model's array, quickly where it is clean.

A column is read whole (numpy) when that surely means the same as value by value; otherwise value
by value, which is what decides, and finds each fault with its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.contract import violations
from shipway.contract.rules import Rules
from shipway.contract.schema import Column, Policy
from shipway.contract.values import READERS, is_missing
from shipway.contract.violations import LIMIT, Violation, value_violation
from shipway.domain.model import Kind

_FLOATS: Final = frozenset({float, int, type(None)})
_TEXTS: Final = frozenset({str, type(None)})
_INTS: Final = frozenset({int})
_BOOLS: Final = frozenset({bool})
TIMES: Final = (Kind.DATE, Kind.TIMESTAMP)


class Reading(msgspec.Struct, gc=False):
    """A column as read: its array unless a fault was found, the faults, and soft ones by code."""

    array: NDArray[Any] | None
    found: list[Violation]
    total: int = 0
    soft: dict[str, int] = {}


class ColumnReader:
    """All that is promised about one column, made ready to be checked again and again."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.name = column.name
        self.kind = column.kind
        self.nullable = column.nullable
        self.rules = Rules(column)
        self.known = self.rules.known
        self.ranged = self.rules.ranged
        self.as_float = column.kind is Kind.NUMBER or (
            column.nullable and column.kind in (Kind.INTEGER, Kind.BOOLEAN)
        )
        self.low, self.high = self.rules.low, self.rules.high
        self.range_acts = column.out_of_range is not Policy.WARN
        self.unseen_acts = column.unseen is not Policy.WARN
        self.shaped = self.rules.shaped
        self._read = READERS[column.kind]
        self.mends = Policy.IMPUTE in column.policies or Policy.CLIP in column.policies
        self.fill = None if column.fill is None else self._read(column.fill)[0]

    def read(self, values: Sequence[Any] | NDArray[Any]) -> Reading:
        """*values* (JSON scalars, or an array of one dimension) as the array of the model."""
        return self._whole(values) or self._each(values)

    def _whole(self, values: Sequence[Any] | NDArray[Any]) -> Reading | None:
        if self.kind in TIMES or (self.known is not None and self.kind is not Kind.STRING):
            return None
        types = _types_of(values) if isinstance(values, np.ndarray) else set(map(type, values))
        try:
            if self.kind is Kind.STRING:
                return self._texts(values, types) if types <= _TEXTS else None
            if self.kind is Kind.BOOLEAN:
                return self._booleans(values) if types <= _BOOLS else None
            if self.as_float:
                return self._floats(values) if types <= _FLOATS else None
            return self._ranged(np.array(values, dtype=np.int64)) if types <= _INTS else None
        except OverflowError:
            return None

    def _floats(self, values: Sequence[Any] | NDArray[Any]) -> Reading | None:
        array = np.array(values, dtype=np.float64)
        if not np.isfinite(array).all():
            missing = np.isnan(array)
            if not self.nullable or np.isinf(array).any():
                return None
            array[missing] = np.nan
        if self.kind is Kind.INTEGER:
            present = array[~np.isnan(array)]
            # From 2**53 on float64 no longer tells one whole number from the next.
            if np.any(np.abs(present) >= 2.0**53) or np.any(present != np.floor(present)):
                return None
            array += 0.0  # a whole number has no negative zero
        return self._ranged(array)

    def _ranged(self, array: NDArray[Any]) -> Reading | None:
        outside = 0
        if self.column.minimum is not None or self.column.maximum is not None:
            outside = int(np.count_nonzero((array < self.low) | (array > self.high)))
        if outside and self.range_acts:
            return None
        return Reading(array, [], soft={violations.OUT_OF_RANGE: outside} if outside else {})

    def _booleans(self, values: Sequence[Any] | NDArray[Any]) -> Reading:
        return Reading(np.array(values, dtype=np.float64 if self.as_float else np.bool_), [])

    def _texts(self, values: Sequence[Any] | NDArray[Any], types: set[type]) -> Reading | None:
        if self.shaped or (type(None) in types and not self.nullable):
            return None
        unseen = 0
        if self.known is not None:
            strange = set(values) - self.known
            strange.discard(None)
            if strange and self.unseen_acts:
                return None
            unseen = sum(value in strange for value in values) if strange else 0
        return Reading(object_array(values), [], soft={violations.UNSEEN: unseen} if unseen else {})

    def _each(self, values: Sequence[Any] | NDArray[Any]) -> Reading:
        reading = Reading(None, [])
        kept: list[Any] = []
        for row, value in enumerate(as_list(values, self.kind)):
            kept.append(self._value(row, plain(value), reading))
        if not reading.total:
            reading.array = self._array(kept)
        return reading

    def _value(self, row: int, value: Any, reading: Reading) -> Any:
        if is_missing(value):
            if self.nullable:
                return None
            told = [(violations.NULL, self.column.missing)]
            return self._done(told, row, value, None, reading)
        read, code = self._read(value)
        if code:
            return self._done([(code, Policy.REJECT)], row, value, None, reading)
        broken = self.rules.broken(read)
        return self._done(broken, row, value, read, reading) if broken else read

    def _done(
        self, broken: list[tuple[str, Policy]], row: int, value: object, read: Any, reading: Reading
    ) -> Any:
        """What stands for *value*, which breaks these rules; its faults and counts are kept."""
        for code, policy in broken:
            if policy.refuses:
                self._fault(code, row, value, reading)
            else:
                reading.soft[code] = reading.soft.get(code, 0) + 1
        policies = [policy for _, policy in broken]
        if Policy.IMPUTE in policies:
            return self.fill
        return min(max(read, self.low), self.high) if Policy.CLIP in policies else read

    def _fault(self, code: str, row: int, value: object, reading: Reading) -> None:
        reading.total += 1
        if len(reading.found) < LIMIT:
            reading.found.append(value_violation(self.column, code, row, value))

    def _array(self, kept: list[Any]) -> NDArray[Any]:
        if self.kind is Kind.STRING:
            return object_array(kept)
        if self.kind in TIMES:
            stamps = [np.iinfo(np.int64).min if value is None else value for value in kept]
            return np.array(stamps, dtype=np.int64).view("datetime64[us]")
        if self.as_float:
            return np.array(kept, dtype=np.float64)
        return np.array(kept, dtype=np.bool_ if self.kind is Kind.BOOLEAN else np.int64)


def object_array(values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """*values* as a one-dimensional array of objects, whatever they hold."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def as_list(values: Sequence[Any] | NDArray[Any], kind: Kind) -> Sequence[Any]:
    """*values* one by one: the floats of an array that stands for booleans become them again.

    A numpy array of booleans has no missing value, so where 0, 1 and NaN are meant as false, true
    and missing (as in the model's own arrays), they are taken so.
    """
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]")
    listed: list[Any] = values.tolist()
    if kind is Kind.BOOLEAN and values.dtype.kind == "f":
        return [bool(value) if value in (0.0, 1.0) else value for value in listed]
    return listed


def _types_of(array: NDArray[Any]) -> set[type]:
    match array.dtype.kind:
        case "f":
            return {float}
        case "i" | "u":
            return {int} if array.dtype != np.uint64 else {object}
        case "b":
            return {bool}
        case "O":
            return set(map(type, array.tolist()))
        case _:
            return {object}


def plain(value: object) -> object:
    """*value* as plain Python: numpy's own scalars are unwrapped."""
    return value.item() if isinstance(value, np.generic) else value
