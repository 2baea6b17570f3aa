"""JSON Schema of what the data plane takes and gives, for one version's contract.

A schema says exactly what is accepted of one row, or of many where JSON Schema can say it: that two
lists are of equal length it cannot, so columns are described for one row and the text says the
rest.
"""

from __future__ import annotations

from typing import Any

from shipway.contract.example import example_row, row_schema
from shipway.contract.schema import Contract, Role
from shipway.domain.events import Scalar
from shipway.domain.model import DATATYPE_OF, Kind
from shipway.serving.protocols.ids import ID_PATTERN
from shipway.serving.protocols.predictions import FORMS

Schema = dict[str, Any]

ID: Schema = {
    "type": ["string", "null"],
    "pattern": ID_PATTERN,
    "description": "A name for the request; sent again it is a retry: the first answer counts.",
}
PARAMETERS: Schema = {
    "type": ["object", "null"],
    "properties": {"prediction": {"enum": [*FORMS, None]}},
    "description": "prediction: what each prediction is, the label unless said otherwise.",
}
ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "What happened, with which value."},
        "code": {"type": "string", "description": "Stable; the reference lists all of them."},
        "next": {"type": "string", "description": "What to do about it."},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    name: {"type": "string"} for name in ("code", "message", "where", "hint")
                },
                "required": ["code", "message", "where", "hint"],
            },
        },
        "error_code": {"type": "string", "description": "On /invocations, as MLflow has it."},
        "message": {"type": "string", "description": "On /invocations, as MLflow has it."},
    },
    "required": ["error", "code", "next"],
}


class RowSchemas:
    """One row of a contract in each of its forms, with the contract's real row as the example."""

    def __init__(self, contract: Contract) -> None:
        schema = row_schema(contract)
        self.cells: dict[str, Schema] = {
            name: _bounded(cell) for name, cell in schema["properties"].items()
        }
        self.example: dict[str, Scalar] = example_row(contract)
        self._contract = contract
        self._features = [column.name for column in contract.features]
        self._further = [
            column.name for column in contract.request_columns if column.role is not Role.FEATURE
        ]

    def record(self, *, further: bool = False) -> Schema:
        """A row by name, without what may be missing. *further*: with time, id and group."""
        needed = [column.name for column in self._contract.features if not column.nullable]
        names = [*self._features, *(self._further if further else ())]
        return {
            "type": "object",
            "properties": {name: self.cells[name] for name in names},
            "required": [*needed, *(self._further if further else ())],
            "additionalProperties": False,
            "examples": [{name: self.example[name] for name in names}],
        }

    def row(self) -> Schema:
        """A row as a list, in the order of the features."""
        return {
            "type": "array",
            "prefixItems": [self.cells[name] for name in self._features],
            "items": False,
            "minItems": len(self._features),
            "maxItems": len(self._features),
            "description": f"In this order: {', '.join(self._features)}.",
            "examples": [self.example_list()],
        }

    def rows(self) -> Schema:
        """Rows of one form: lists, records, or plain values where there is one feature."""
        forms = [self.row(), self.record()]
        if self._further:
            forms.append(self.record(further=True))
        if len(self._features) == 1:
            forms.append(self.cells[self._features[0]])
        return {
            "anyOf": [{"type": "array", "minItems": 1, "items": form} for form in forms],
            "description": "Rows of one form: lists in the order of the features, or records.",
        }

    def columns(self) -> Schema:
        """A list of values by column; shown for one row, all lists may be as long as each other."""
        return {
            "type": "object",
            "properties": {name: _one(self.cells[name]) for name in self._features},
            "required": self._features,
            "additionalProperties": False,
            "description": "A list of values a column, all of one length; here of one row.",
        }

    def split(self) -> Schema:
        """pandas' split form."""
        return {
            "type": "object",
            "properties": {
                "columns": {"enum": [self._features, None]},
                "data": {"type": "array", "minItems": 1, "items": self.row()},
            },
            "required": ["data"],
            "additionalProperties": False,
            "description": "columns in any order (the features' if left out), data row by row;"
            " an index as long as data is passed over.",
        }

    def tensors(self) -> Schema:
        """The inputs of the Open Inference Protocol, one a column, shown for one row."""
        tensors = [
            {
                "type": "object",
                "properties": {
                    "name": {"const": column.name},
                    "shape": {"enum": [[1], [1, 1]]},
                    "datatype": {"const": DATATYPE_OF[column.kind]},
                    "data": _one(self.cells[column.name]),
                    "parameters": {"type": ["object", "null"]},
                },
                "required": ["name", "shape", "datatype", "data"],
            }
            for column in self._contract.features
        ]
        return {
            "type": "array",
            "prefixItems": tensors,
            "items": False,
            "minItems": len(tensors),
            "maxItems": len(tensors),
            "description": "One tensor a column, [n] or [n, 1], flat or nested; here of one row."
            " Where every feature is a number, one tensor [n, features] may hold whole rows."
            " Any numeric datatype is taken for numbers; FP16 and BF16 come in binary alone.",
        }

    def example_tensors(self) -> list[Schema]:
        """The example row as tensors."""
        return [
            {
                "name": column.name,
                "shape": [1],
                "datatype": DATATYPE_OF[column.kind],
                "data": [self.example[column.name]],
            }
            for column in self._contract.features
        ]

    def example_list(self) -> list[Scalar]:
        """The example row as a list."""
        return [self.example[name] for name in self._features]

    def example_csv(self) -> str:
        """The example row as CSV."""
        cells = ("" if cell is None else f"{cell}" for cell in self.example_list())
        return f"{','.join(self._features)}\n{','.join(cells)}\n"


def label_schema(values: list[Any]) -> Schema:
    """A label: one of the classes, or a number in regression."""
    return {"enum": values} if values else {"type": "number"}


def _one(cell: Schema) -> Schema:
    return {"type": "array", "items": cell, "minItems": 1, "maxItems": 1}


def _bounded(cell: Schema) -> Schema:
    """*cell* said to be a float64 where it is: a bound of its own would be exact, as it is not."""
    kinds = cell["type"] if isinstance(cell["type"], list) else [cell["type"]]
    return {"format": "double"} | cell if str(Kind.NUMBER) in kinds else cell
