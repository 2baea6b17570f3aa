"""How to call the model: the same request for curl and for Python, from the contract alone."""

from __future__ import annotations

import json
import shlex
from urllib.parse import quote

from shipway.contract.schema import Column, Contract
from shipway.documents.layout import Code, Points, Section, facts
from shipway.domain.events import Scalar
from shipway.domain.model import DATATYPE_OF, Kind

_ADDRESS_UNKNOWN = "http://127.0.0.1:8080"
_KEY = "SHIPWAY_KEY"


def calling_section(contract: Contract, address: str | None) -> Section:
    """One real row, as the contract has it, asked of the server at *address*."""
    endpoint = f"{address or _ADDRESS_UNKNOWN}/v2/models/{quote(contract.model, safe='')}/infer"
    request: dict[str, object] = {"inputs": [_tensor(column) for column in contract.features]}
    where = address or f"not recorded; {_ADDRESS_UNKNOWN} is where `shipway serve` listens unasked"
    return Section(
        "How to call it",
        (
            facts(
                [
                    ("Protocol", "Open Inference Protocol v2, JSON over HTTP"),
                    ("Address", where),
                    ("Key", f"in the variable {_KEY}; make one with `shipway keys create`"),
                ]
            ),
            Code("curl", _curl(endpoint, request)),
            Code("Python", _python(endpoint, request)),
            Points(
                (
                    "The answer has one prediction id a row; send the truth back under it, so "
                    "that the model can be monitored.",
                )
            ),
        ),
    )


def _tensor(column: Column) -> dict[str, object]:
    return {
        "name": column.name,
        "shape": [1],
        "datatype": DATATYPE_OF[column.kind],
        "data": [_example(column)],
    }


def _example(column: Column) -> Scalar:
    """A value that training saw, as far as one is recorded."""
    if column.example is not None:
        return column.example
    if column.categories and column.kind is Kind.STRING:
        return column.categories[0]
    return column.minimum


def _curl(endpoint: str, request: dict[str, object]) -> str:
    return " \\\n    ".join(
        [
            f"curl {shlex.quote(endpoint)}",
            f'--header "Authorization: Bearer ${_KEY}"',
            "--header 'Content-Type: application/json'",
            f"--data-raw {shlex.quote(json.dumps(request))}",
        ]
    )


def _python(endpoint: str, request: dict[str, object]) -> str:
    return "\n".join(
        [
            "import os",
            "",
            "import httpx",
            "",
            "answer = httpx.post(",
            f"    {endpoint!r},",
            f'    headers={{"Authorization": f"Bearer {{os.environ[{_KEY!r}]}}"}},',
            f"    json={request!r},",
            ")",
            "answer.raise_for_status()",
            'print(answer.json()["outputs"])',
        ]
    )
