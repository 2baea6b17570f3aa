"""What documentation shows of a contract is accepted by it."""

from __future__ import annotations

import jsonschema  # type: ignore[import-untyped]

from shipway.contract.compiled import CompiledContract
from shipway.contract.example import example_row, row_schema
from shipway.contract.schema import Column, Contract, Policy, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind

_COLUMNS = (
    *(Column(name=f"any_{kind}", kind=kind) for kind in Kind),
    Column(name="carrier", kind=Kind.STRING, categories=("UA",), unseen=Policy.REJECT),
    Column(name="level", kind=Kind.INTEGER, categories=("3",), unseen=Policy.REJECT),
    Column(name="flag", kind=Kind.BOOLEAN, categories=("false",), unseen=Policy.REJECT),
    Column(name="high", kind=Kind.NUMBER, minimum=9.5, out_of_range=Policy.REJECT),
    Column(name="told", kind=Kind.NUMBER, example=0.25, description="a share", nullable=True),
    Column(name="when", kind=Kind.TIMESTAMP, role=Role.TIME),
    Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
)
_CONTRACT = Contract(model="m", task=Task.BINARY, columns=_COLUMNS)


def test_the_example_row_is_accepted() -> None:
    """It can be sent as it stands, and its schema agrees."""
    row = example_row(_CONTRACT)
    assert "late" not in row
    assert row["told"] == 0.25
    checked = CompiledContract(_CONTRACT).check_request({n: [v] for n, v in row.items()})
    assert (checked.violations, checked.warnings) == ((), {})
    jsonschema.Draft202012Validator.check_schema(row_schema(_CONTRACT))
    jsonschema.validate(row, row_schema(_CONTRACT))


def test_the_schema_refuses_what_the_contract_refuses() -> None:
    """Types, missing and unexpected columns, and hard rules."""
    row = example_row(_CONTRACT)
    validator = jsonschema.Draft202012Validator(row_schema(_CONTRACT))
    for changed in ({"high": 1.0}, {"carrier": "XX"}, {"any_number": "1"}, {"extra": 1}):
        assert not validator.is_valid(row | changed)
    assert not validator.is_valid({name: value for name, value in row.items() if name != "high"})
    assert validator.is_valid({name: value for name, value in row.items() if name != "when"})
    assert validator.is_valid(row | {"told": None})
