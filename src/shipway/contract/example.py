"""A contract as documentation: a row that it accepts, and JSON Schema for one row."""

from __future__ import annotations

from typing import Any

from shipway.contract.schema import Column, Contract, Policy, Role
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
    schema: dict[str, Any] = {"type": [name, "null"] if column.nullable else name}
    if column.kind in (Kind.DATE, Kind.TIMESTAMP):
        schema["format"] = "date" if column.kind is Kind.DATE else "date-time"
    if column.kind is Kind.INTEGER:
        schema |= {"minimum": INT64_LOW, "maximum": INT64_HIGH}
    if column.out_of_range is Policy.REJECT:
        bounds = {"minimum": column.minimum, "maximum": column.maximum}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if column.unseen is Policy.REJECT and column.categories and column.kind is Kind.STRING:
        schema["enum"] = [*column.categories, *([None] if column.nullable else [])]
    if column.description:
        schema["description"] = column.description
    if column.example is not None:
        schema["examples"] = [column.example]
    return schema
