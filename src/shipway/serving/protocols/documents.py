"""Rows and columns as JSON documents have them: lists, records, columns, and pandas' split form.

What KServe v1, TensorFlow Serving, Vertex and MLflow call instances, inputs and data frames is read
here into columns by the contract's names. Structure is judged here (HTTP 400); values, missing
columns and strange ones are the contract's business (HTTP 422).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from shipway.contract.schema import Contract
from shipway.errors import MalformedRequest
from shipway.inference.predictor import RequestColumn
from shipway.serving.protocols.bounds import Bounds

_STRANGE = 100
_decode = msgspec.json.Decoder().decode

Table = dict[str, RequestColumn]


def read_object(body: bytes | bytearray | memoryview, bounds: Bounds) -> dict[str, Any]:
    """The JSON object in *body*; raises MalformedRequest with the place of a fault."""
    bounds.check(body)
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(
            f"the body is not JSON: {error}",
            next_step="send one JSON object in UTF-8; write null for what is missing",
        ) from error
    except RecursionError as error:
        raise MalformedRequest(
            "the JSON is nested too deeply", next_step="send lists or records of plain values"
        ) from error
    if not isinstance(document, dict):
        raise MalformedRequest(
            f"the body is a JSON {_kind(document)}, an object is due",
            next_step='send {"instances": [[…], …]} or one of the other forms',
        )
    return document


class Documents:
    """Reads documents for one contract; its features' order is that of lists without names."""

    def __init__(self, contract: Contract, bounds: Bounds) -> None:
        self._features = tuple(column.name for column in contract.features)
        self._known = tuple(column.name for column in contract.request_columns)
        self._further = tuple(name for name in self._known if name not in self._features)
        self._names = frozenset(self._known)
        self._bounds = bounds

    def rows(self, rows: object, what: str) -> Table:
        """Columns of *rows*: a list of lists, of records, or of values where there is one feature.

        *what* names the field in errors. Raises MalformedRequest, and TooLarge for too many values.
        """
        if not isinstance(rows, list) or not rows:
            raise _fault(what, "is not a list with at least one row")
        self._bounds.check_elements(len(rows) * len(self._features))
        kinds = set(map(type, rows))
        if kinds == {dict}:
            return self._records(rows)
        if kinds == {list}:
            return self._matrix(rows, self._features, what)
        if list in kinds or dict in kinds:
            raise _fault(what, "mixes lists, records and plain values; send rows of one form")
        if len(self._features) != 1:
            raise _fault(what, f"has plain values where rows of {len(self._features)} are due")
        return {self._features[0]: rows}

    def columns(self, columns: object, what: str) -> Table:
        """*columns*, lists of equal length by name; else rows as :meth:`rows` takes them.

        A column of lists of one value, [[1], [2]], is taken as the values.
        """
        if not isinstance(columns, dict):
            return self.rows(columns, what)
        lengths = set()
        table: Table = {}
        for name, values in columns.items():
            if not isinstance(values, list) or not values:
                raise _fault(what, f"has a column {name[:64]!r} that is no list of values")
            if set(map(type, values)) == {list} and set(map(len, values)) == {1}:
                values = [value for (value,) in values]  # noqa: PLW2901
            lengths.add(len(values))
            table[name] = values
        if len(lengths) != 1:
            raise _fault(what, "has no columns, or columns of unequal length")
        self._bounds.check_elements(lengths.pop() * len(table))
        return self._sorted(table)

    def split(self, frame: object, what: str) -> Table:
        """pandas' split form: ``columns`` (the features, if left out), ``data`` and ``index``."""
        if not isinstance(frame, dict) or "data" not in frame:
            raise _fault(what, "is not an object with data and, if need be, columns and index")
        if not frame.keys() <= {"columns", "data", "index"}:
            strange = sorted(frame.keys() - {"columns", "data", "index"})
            raise _fault(what, f"has {strange[0][:64]!r} beside columns, data and index")
        rows, names = frame["data"], frame.get("columns")
        if not isinstance(rows, list) or not rows or set(map(type, rows)) != {list}:
            raise _fault(f"{what}.data", "is not a list of rows, each a list")
        if names is None:
            names = list(self._features)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _fault(f"{what}.columns", "is not a list of names")
        if len(set(names)) != len(names):
            raise _fault(f"{what}.columns", "has a name twice")
        index = frame.get("index")
        if index is not None and (not isinstance(index, list) or len(index) != len(rows)):
            raise _fault(f"{what}.index", "is not a list as long as data")
        return self._sorted(self._matrix(rows, tuple(names), f"{what}.data"))

    def _matrix(self, rows: list[list[Any]], names: Sequence[str], what: str) -> Table:
        width = len(names)
        widths = set(map(len, rows))
        if widths != {width}:
            odd = next(iter(widths - {width}))
            named = f": {', '.join(names)}"[:200] if names else ""
            raise _fault(what, f"has a row of {odd} values where {width} are due{named}")
        self._bounds.check_elements(len(rows) * width)
        flat = list(chain.from_iterable(rows))
        return {name: flat[position::width] for position, name in enumerate(names)}

    def _records(self, rows: list[dict[str, Any]]) -> Table:
        """Columns of records; what a record leaves out is missing in it.

        A column that is no feature, such as the time, is there if any record has it.
        """
        table: Table = {name: [row.get(name) for row in rows] for name in self._features}
        for name in self._further:
            if any(name in row for row in rows):
                table[name] = [row.get(name) for row in rows]
        strange: dict[str, None] = {}
        for row in rows:
            if not row.keys() <= self._names:
                strange |= dict.fromkeys(name for name in row if name not in self._names)
                if len(strange) > _STRANGE:
                    break
        unread = [None] * len(rows)  # one list: the contract refuses the columns by their names
        return table | dict.fromkeys(list(strange)[:_STRANGE], unread)

    def _sorted(self, table: Table) -> Table:
        """*table* with what the contract knows first, in the contract's order."""
        return {name: table[name] for name in self._known if name in table} | table


def _fault(what: str, message: str) -> MalformedRequest:
    return MalformedRequest(
        f"{what} {message}", next_step="GET /openapi.json shows every form, with an example"
    )


def _kind(document: object) -> str:
    if isinstance(document, list):
        return "list"
    return "null" if document is None else "text" if isinstance(document, str) else "value"
