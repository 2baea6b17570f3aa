"""Checking all requests of a batch in one go, for when there is nothing to say about any of them.

Nearly all requests are clean, and a check costs more by the call than by the value. What arrived
together is therefore checked together first; if anything at all is to be told of it, each request
is checked by itself, which explains it. Both give the same arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import ge, le
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipway.contract.block import Block, Layout, RowMajor
from shipway.contract.readers import ColumnReader
from shipway.contract.requests import SMALL_ROWS, RequestChecker, Values
from shipway.contract.schema import Contract

_FEW_VALUES = 64


class Clean(NamedTuple):
    """A batch without a fault or a warning: the model's columns, and the rows of each request."""

    columns: Mapping[str, NDArray[Any]]
    rows: list[int]


class BatchChecker:
    """The request side of a contract for many requests at a time."""

    def __init__(self, contract: Contract, single: RequestChecker) -> None:
        self.layout = Layout.of(contract)
        self._single = single
        readers = [ColumnReader(column) for column in contract.features]
        if self.layout is not None:
            self._low = np.array([reader.low for reader in readers], dtype=np.float64)
            self._high = np.array([reader.high for reader in readers], dtype=np.float64)
            self._nullable = np.array([reader.nullable for reader in readers], dtype=np.bool_)
            self._any_nullable = bool(self._nullable.any())
            self._lows: list[float] = self._low.tolist()
            self._highs: list[float] = self._high.tolist()

    def check(self, parts: Sequence[Mapping[str, Values]]) -> Clean | None:
        """The rows of *parts* if all of them are clean at first sight, else None."""
        if parts[0].__class__ is RowMajor:
            return self._check_rows(parts)
        return self._check_columns(parts)

    def _check_rows(self, parts: Sequence[Mapping[str, Values]]) -> Clean | None:
        layout = self.layout
        if layout is None:
            return None
        values: list[Any] = []
        rows: list[int] = []
        for part in parts:
            if not isinstance(part, RowMajor):
                return None
            values.append(part.numbers)
            rows.append(part.rows)
        flat = values[0] if len(values) == 1 else _joined(values)
        # What is one request's own must be copied, for missing values are written over.
        matrix = np.array(flat, dtype=np.float64, copy=len(values) == 1 or None)
        matrix = matrix.reshape(-1, layout.width)
        few = flat.__class__ is list and len(flat) <= _FEW_VALUES
        if not (few and self._are_clean(flat)) and not self._is_clean(matrix):
            return None
        self._hand_back(parts, matrix, rows)
        return Clean(Block(layout, matrix), rows)

    @staticmethod
    def _hand_back(parts: Sequence[Any], matrix: NDArray[np.float64], rows: list[int]) -> None:
        """Leave each part its rows as they are now, so that nobody need convert them again."""
        end = 0
        for part, count in zip(parts, rows, strict=True):
            start, end = end, end + count
            part.numbers = matrix[start:end].reshape(-1)

    def _are_clean(self, values: list[Any]) -> bool:
        """Whether none of *values*, row after row, is missing or out of range.

        For a few of them; numpy pays by the call.
        """
        rows = len(values) // len(self._lows)
        try:
            return all(map(le, self._lows * rows, values)) and all(
                map(ge, self._highs * rows, values)
            )
        except TypeError:
            return False  # None is missing

    def _is_clean(self, matrix: NDArray[np.float64]) -> bool:
        """Whether every value of *matrix* is in order; makes its missing ones one NaN."""
        good = (matrix >= self._low) & (matrix <= self._high)
        if not good.all():
            if not self._any_nullable:
                return False
            missing = np.isnan(matrix)
            good |= missing & self._nullable
            if not good.all():
                return False
            matrix[missing] = np.nan
        return True

    def _check_columns(self, parts: Sequence[Mapping[str, Values]]) -> Clean | None:
        rows: list[int] = []
        first = parts[0]
        if not first:
            return None
        names = first.keys()
        for part in parts:
            try:
                lengths = set(map(len, part.values()))
            except TypeError:
                return None  # a column that is no list of values
            if len(lengths) != 1 or part.keys() != names:
                return None
            rows += lengths
        total = sum(rows)
        if not 0 < total <= SMALL_ROWS or 0 in rows:
            return None
        joined = first
        if len(parts) > 1:
            if any(values.__class__ is not list for part in parts for values in part.values()):
                return None
            joined = {
                name: list(chain.from_iterable([part[name] for part in parts])) for name in names
            }
        checked = self._single.small(joined, total)
        return None if checked is None or checked.warnings else Clean(checked.columns, rows)


def _joined(values: list[Any]) -> Any:
    if all(one.__class__ is list for one in values):
        return list(chain.from_iterable(values))
    return np.concatenate([np.asarray(one, dtype=np.float64) for one in values])
