"""A contract as documentation: a row that it accepts, and JSON Schema for one row."""

from __future__ import annotations

import math
import re
from typing import Any

from shipway.contract.patterns import regex_of
from shipway.contract.schema import Column, Contract, Role
from shipway.contract.values import INT64_HIGH, INT64_LOW
from shipway.domain.events import Scalar
from shipway.domain.model import Kind

_MADE_UP: dict[Kind, Scalar] = {
    Kind.NUMBER: 0.5,
    Kind.INTEGER: 1,
    Kind.BOOLEAN: True,
    Kind.STRING: "text",
    Kind.DATE: "2013-04-01",
    Kind.TIMESTAMP: "2013-04-01T12:00:00Z",
}
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_TYPES = {
    Kind.NUMBER: "number",
    Kind.INTEGER: "integer",
    Kind.BOOLEAN: "boolean",
    Kind.STRING: "string",
    Kind.DATE: "string",
    Kind.TIMESTAMP: "string",
}


def example_row(contract: Contract) -> dict[str, Scalar]:
    """One value a column that a request carries, in contract order: a row that is accepted.

    The values are the examples that inference kept; where there is none, one that fits.
    """
    return {column.name: _example(column) for column in contract.request_columns}


def _example(column: Column) -> Scalar:
    if column.example is not None:
        return column.example
    if column.categories and column.kind in (Kind.STRING, Kind.INTEGER, Kind.BOOLEAN):
        first = column.categories[0]
        if column.kind is Kind.INTEGER:
            return int(first)
        return first == "true" if column.kind is Kind.BOOLEAN else first
    bound = column.minimum if column.minimum is not None else column.maximum
    if bound is None or column.kind not in (Kind.NUMBER, Kind.INTEGER):
        return _MADE_UP[column.kind]
    return round(bound) if column.kind is Kind.INTEGER else bound


def row_schema(contract: Contract) -> dict[str, Any]:
    """JSON Schema (2020-12) of one row of a request; what only warns is told in descriptions."""
    columns = contract.request_columns
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": contract.model,
        "type": "object",
        "properties": {column.name: _schema(column) for column in columns},
        "required": [column.name for column in columns if column.role is Role.FEATURE],
        "additionalProperties": False,
    }


def _schema(column: Column) -> dict[str, Any]:
    name = _TYPES[column.kind]
    optional = column.nullable or not column.missing.refuses
    schema: dict[str, Any] = {"type": [name, "null"] if optional else name}
    if column.kind in (Kind.DATE, Kind.TIMESTAMP):
        schema["format"] = "date" if column.kind is Kind.DATE else "date-time"
    if column.kind is Kind.INTEGER:
        schema |= {"minimum": INT64_LOW, "maximum": INT64_HIGH}
    if column.out_of_range.refuses and column.kind in (Kind.NUMBER, Kind.INTEGER):
        schema |= _range(column)
    if column.unseen.refuses and (known := _known(column)) is not None:
        schema["enum"] = [*known, *([None] if optional else [])]
    if column.mismatched.refuses and column.pattern and column.kind is Kind.STRING:
        schema["pattern"] = regex_of(column.pattern)
    if column.description:
        schema["description"] = column.description
    if column.example is not None:
        schema["examples"] = [column.example]
    return schema


def _range(column: Column) -> dict[str, float]:
    low, high = column.minimum, column.maximum
    if column.kind is Kind.NUMBER:
        return {k: v for k, v in (("minimum", low), ("maximum", high)) if v is not None}
    least = INT64_LOW if low is None else max(math.ceil(low), INT64_LOW)
    most = INT64_HIGH if high is None else min(math.floor(high), INT64_HIGH)
    return {"minimum": least, "maximum": most}


def _known(column: Column) -> list[Scalar] | None:
    """The values that the categories of *column* name; None where it has none."""
    names = column.categories
    if names is None:
        return None
    match column.kind:
        case Kind.STRING:
            return list(names)
        case Kind.INTEGER:
            return [int(name) for name in names if _WHOLE.fullmatch(name)]
        case Kind.BOOLEAN:
            return [name == "true" for name in names if name in ("true", "false")]
        case _:
            return None
