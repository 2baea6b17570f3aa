"""The rules that one value of a column is held against once it is read; without any library."""

from __future__ import annotations

import math

import msgspec

from shipway.contract import violations
from shipway.contract.patterns import matcher
from shipway.contract.schema import Column, Policy
from shipway.contract.values import FLOAT_HIGH, INT64_HIGH, INT64_LOW, READERS, Read, is_missing
from shipway.contract.violations import value_violation
from shipway.domain.model import Kind
from shipway.domain.text import text_of

_NAMED = (Kind.STRING, Kind.INTEGER, Kind.BOOLEAN)


class Rules:
    """Range, categories and pattern of *column*, made ready."""

    __slots__ = ("_matches", "column", "high", "known", "low", "ranged", "shaped")

    def __init__(self, column: Column) -> None:
        self.column = column
        listed = column.kind in _NAMED and column.categories is not None
        self.known = frozenset(column.categories or ()) if listed else None
        self.ranged = column.kind in (Kind.NUMBER, Kind.INTEGER)
        self.low, self.high = _bounds(column)
        self.shaped = column.kind is Kind.STRING and bool(column.pattern)
        self._matches = matcher(column.pattern).fullmatch if self.shaped else None

    def broken(self, read: Read) -> list[tuple[str, Policy]]:
        """The code of each rule that a value of the right kind breaks, and what is to happen."""
        broken: list[tuple[str, Policy]] = []
        if self.ranged and not self.low <= read <= self.high:  # type: ignore[operator]
            broken.append((violations.OUT_OF_RANGE, self.column.out_of_range))
        if self.known is not None and text_of(read) not in self.known:
            broken.append((violations.UNSEEN, self.column.unseen))
        if self._matches is not None and self._matches(read) is None:  # type: ignore[arg-type]
            broken.append((violations.PATTERN, self.column.mismatched))
        return broken


def holds_no_whole_number(column: Column) -> bool:
    """Whether the range of a column of whole numbers has none of 64 bits in it."""
    low, high = _bounds(column)
    return column.kind is Kind.INTEGER and low > high


def fault_of_fill(column: Column) -> str:
    """What is wrong with the value that *column* imputes by its own rules; "" if nothing.

    What would only be warned of in a request refuses it: the model is to see it often.
    """
    if is_missing(column.fill):
        return "there is no value"
    read, code = READERS[column.kind](column.fill)
    codes = [code] if code else [one for one, _ in Rules(column).broken(read)]
    open_column = msgspec.structs.replace(column, personal=None)
    return value_violation(open_column, codes[0], 0, column.fill).message if codes else ""


def _bounds(column: Column) -> tuple[float, float]:
    """Least and greatest value in range; of an integer column as int, so compared exactly."""
    low, high = column.minimum, column.maximum
    if column.kind is not Kind.INTEGER:
        return -FLOAT_HIGH if low is None else low, FLOAT_HIGH if high is None else high
    least = INT64_LOW if low is None else max(math.ceil(low), INT64_LOW)
    most = INT64_HIGH if high is None else min(math.floor(high), INT64_HIGH)
    # A range beyond 64 bits holds no value at all; turned about, it still fits into 64 bits.
    return (least, most) if least <= INT64_HIGH and most >= INT64_LOW else (INT64_HIGH, INT64_LOW)
