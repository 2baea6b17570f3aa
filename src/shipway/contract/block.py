"""Rows in one piece, where every feature of a contract is a number.

A request of 30 numbers as 30 columns costs ten times what the model takes to answer it. Such a
request may come as one matrix instead, stays in one piece through the check, and reaches a model
that wants a matrix as it is. By name both still look like columns, so whoever does not know
them loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipway.contract.schema import Contract
from shipway.domain.model import Kind


@dataclass(frozen=True, slots=True)
class Layout:
    """The order of the features in a row, and how many there are."""

    names: tuple[str, ...]
    positions: Mapping[str, int]
    width: int

    @classmethod
    def of(cls, contract: Contract) -> Layout | None:
        """The layout of *contract*, None unless each of its features is a plain number.

        Whole numbers are left out: as float64 they would lose their type, and from 2**53 on their
        value.
        """
        if any(column.kind is not Kind.NUMBER for column in contract.features):
            return None
        names = tuple(column.name for column in contract.features)
        return cls(names, {name: place for place, name in enumerate(names)}, len(names))


class RowMajor(Mapping[str, Sequence[Any]]):
    """The features of a request, row after row, as they were received.

    ``numbers`` has ``rows * layout.width`` of them, in a list of float and None (missing) or in a
    flat array of numbers: their types are right already, their values were not looked at yet. A
    batch that was checked in one go leaves them as float64.
    """

    __slots__ = ("layout", "numbers", "rows")

    def __init__(self, layout: Layout, numbers: list[Any] | NDArray[Any], rows: int) -> None:
        self.layout = layout
        self.numbers = numbers
        self.rows = rows

    def __getitem__(self, name: str) -> Sequence[Any]:
        """The values of one feature."""
        column: Any = self.numbers[self.layout.positions[name] :: self.layout.width]
        return column  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.names)

    def __len__(self) -> int:
        return self.layout.width


class Block(Mapping[str, "NDArray[Any]"]):
    """The features of n rows as the model takes them: ``matrix`` is float64 of shape (n, width).

    A missing value is NaN.
    """

    __slots__ = ("layout", "matrix")

    def __init__(self, layout: Layout, matrix: NDArray[np.float64]) -> None:
        self.layout = layout
        self.matrix = matrix

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One feature of all rows."""
        column: NDArray[Any] = self.matrix[:, self.layout.positions[name]]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.names)

    def __len__(self) -> int:
        return self.layout.width
