"""CSV into columns: what a cell means is decided by the contract's kind, never guessed.

An empty cell is missing, quoted or not, as pandas writes what is missing. ``007`` stays text in a
column of text and is 7 in a column of numbers. What cannot be read as its kind is left as text, for
the contract to refuse with its row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from itertools import chain

from shipway.contract.schema import Contract
from shipway.domain.events import Scalar
from shipway.domain.model import Kind
from shipway.errors import MalformedRequest
from shipway.serving.protocols.bounds import Bounds
from shipway.serving.protocols.documents import Table

_BOOLEANS = {"true": True, "false": False}


class CsvReader:
    """Reads CSV for one contract."""

    def __init__(self, contract: Contract, bounds: Bounds) -> None:
        self._features = [column.name for column in contract.features]
        self._kinds = {column.name: column.kind for column in contract.request_columns}
        self._bounds = bounds

    def read(self, body: bytes | bytearray | memoryview, *, header: bool = True) -> Table:
        """The columns of *body*, named by its first line, or the features in order.

        A column without a name is pandas' index and left out. Raises MalformedRequest with the
        line that is no CSV, and TooLarge for too many cells.
        """
        data = bytes(body)
        self._bounds.check_elements(data.count(b",") + data.count(b"\n"))
        rows = _lines(data)
        names = self._features
        if header:
            names, rows = (rows[0] if rows else []), rows[1:]
        if len(set(names)) != len(names):
            raise _fault("its first line has a name twice")
        if not rows:
            raise _fault("it has no row to predict")
        width = len(names)
        if any(len(row) != width for row in rows):
            line, row = next((n, row) for n, row in enumerate(rows) if len(row) != width)
            raise _fault(
                f"row {line} has {len(row)} cells where {width} are due: {', '.join(names)[:200]}"
            )
        flat = list(chain.from_iterable(rows))
        return {
            name: _READ[self._kinds.get(name, Kind.STRING)](flat[position::width])
            for position, name in enumerate(names)
            if name
        }


def _lines(data: bytes) -> list[list[str]]:
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        return [row for row in reader if row]
    except UnicodeDecodeError as error:
        raise _fault(f"byte {error.start} is not UTF-8") from error
    except csv.Error as error:
        raise _fault(f"line {reader.line_num}: {error}") from error


def _number(cell: str) -> Scalar:
    if not cell:
        return None
    try:
        return cell if "_" in cell else float(cell)
    except ValueError:
        return cell


def _integer(cell: str) -> Scalar:
    if not cell:
        return None
    try:
        return cell if "_" in cell else int(cell)
    except ValueError:
        return _number(cell)


def _boolean(cell: str) -> Scalar:
    return _BOOLEANS.get(cell.lower(), cell) if cell else None


def _text(cell: str) -> Scalar:
    return cell or None


def _each(read: Callable[[str], Scalar]) -> Callable[[list[str]], list[Scalar]]:
    return lambda cells: [read(cell) for cell in cells]


_READ: dict[Kind, Callable[[list[str]], list[Scalar]]] = {
    Kind.NUMBER: _each(_number),
    Kind.INTEGER: _each(_integer),
    Kind.BOOLEAN: _each(_boolean),
    Kind.STRING: _each(_text),
    Kind.DATE: _each(_text),
    Kind.TIMESTAMP: _each(_text),
}


def _fault(message: str) -> MalformedRequest:
    return MalformedRequest(
        f"the body is no CSV as it should be: {message}",
        next_step="send a first line with the columns' names, then a line a row, in UTF-8",
    )
