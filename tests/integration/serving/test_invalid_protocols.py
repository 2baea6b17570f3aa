"""Whatever is wrong with a request, over every REST protocol, it is refused and never a 5xx."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest
from tests.frames_rig import DATATYPES, FRAME, NUMBERS, Asking, Cells, valid_rows
from tests.protocols_asked import MATRICES, NAMED, UNNAMED, Ask
from tests.soak.scale import sized

from shipway.contract.schema import Contract
from shipway.domain.model import Kind

CASES = sized(150, 50_000 // 28 + 1)
WRONG: dict[Kind, list[Any]] = {
    Kind.NUMBER: ["far", True, [1.0], {"a": 1}, float("inf"), float("-inf"), 10**400, "0x1F"],
    Kind.INTEGER: [0.5, "7 days", True, 2**63, -(2**80), 1e300, [[]], float("inf")],
    Kind.BOOLEAN: [1, 0.0, "yes", [True], {}],
    Kind.STRING: [1, 0.5, True, ["Lima"], {"city": "Lima"}],
    Kind.DATE: ["2013-13-01", "soon", 0, "2013-04-01T12:00:00Z", [], "10000-01-01"],
    Kind.TIMESTAMP: ["2013-04-31T00:00:00Z", "12:00", 1.5, {}, "yesterday"],
}


class GotError(Exception):
    """The response, before anybody reads it."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Peeking(Asking):
    """Raises each response instead of returning it."""

    def post(self, path: str, body: Any, *, kind: str = "application/json", **headers: str) -> Any:
        raise GotError(super().post(path, body, kind=kind, **headers))


def response_of(asking: Asking, contract: Contract, ask: Ask, cells: Cells) -> Any:
    """The response to *cells*, None where this form cannot even write them."""
    peeking = object.__new__(Peeking)
    peeking.__dict__.update(asking.__dict__)
    try:
        ask(peeking, contract, cells)
    except GotError as got:
        return got.response
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    raise AssertionError(ask.__name__)


def spoiled(contract: Contract, dice: random.Random) -> Cells:
    """A few rows with one thing wrong."""
    cells = valid_rows(contract, dice.randint(1, 4), dice, further=False)
    column = dice.choice(contract.features)
    values = cells[column.name]
    match dice.randrange(8):
        case 0:
            del cells[column.name]
        case 1:
            cells["stranger" * dice.randint(1, 40)] = list(values)
        case 2:
            values.append(values[0])
        case 3 if not column.nullable:
            values[dice.randrange(len(values))] = None
        case _:
            values[dice.randrange(len(values))] = dice.choice(WRONG[column.kind])
    return cells


def check_refusal(response: httpx.Response) -> None:
    """It is no 5xx, and what it says is strict JSON that says what to do."""
    assert response.status_code < 500, response.text
    told = json.loads(response.content, parse_constant=lambda text: pytest.fail(f"{text} in JSON"))
    if response.status_code != 200:
        assert response.status_code in {400, 413, 415, 422}
        assert told["error"]
        assert told["code"]
        assert told["next"]


def _hold(asking: Asking, contract: Contract, ask: Ask) -> None:
    dice = random.Random(f"wrong {contract.model} {ask.__name__}")
    refused = 0
    for _ in range(CASES):
        response = response_of(asking, contract, ask, spoiled(contract, dice))
        if response is not None and response.headers["content-type"] == "application/json":
            check_refusal(response)
            refused += response.status_code != 200
        elif response is not None:
            assert response.status_code == 200
    print(f"{contract.model}, {ask.__name__}: {refused} of {CASES} refused, no 5xx")  # noqa: T201
    assert refused > CASES // 4


@pytest.mark.parametrize("ask", NAMED, ids=lambda ask: str(ask.__name__))
@pytest.mark.parametrize("contract", [FRAME, NUMBERS], ids=lambda one: str(one.model))
def test_protocols_that_name_the_model(asking: Asking, contract: Contract, ask: Ask) -> None:
    """Values of the wrong kind, gaps, strangers and uneven columns are the client's fault."""
    _hold(asking, contract, ask)


@pytest.mark.parametrize("ask", UNNAMED, ids=lambda ask: str(ask.__name__))
def test_invocations(alone: Asking, ask: Ask) -> None:
    """The same in MLflow's and SageMaker's forms."""
    _hold(alone, FRAME, ask)


@pytest.mark.parametrize("ask", MATRICES, ids=lambda ask: str(ask.__name__))
def test_matrices(asking: Asking, ask: Ask) -> None:
    """The same for rows of numbers in one piece."""
    _hold(asking, NUMBERS, ask)


def _documents(dice: random.Random, depth: int = 0) -> Any:
    """Some JSON that may look like a request."""
    if depth and (depth > 8 or dice.random() < 0.35):
        return dice.choice([None, True, 0, -1, 1.5, 10**30, "", "Lima", [], {}, "a" * 300])
    if dice.random() < 0.5:
        return [_documents(dice, depth + 1) for _ in range(dice.randrange(4))]
    names = [
        "inputs", "instances", "dataframe_split", "dataframe_records", "columns", "data", "index",
        "params", "parameters", "id", "name", "shape", "datatype", "outputs", "prediction",
        *DATATYPES.values(), *(column.name for column in FRAME.columns),
    ]  # fmt: skip
    return {dice.choice(names): _documents(dice, depth + 1) for _ in range(dice.randrange(5))}


@pytest.mark.parametrize(
    "path", ["/v2/models/frame/infer", "/v1/models/frame:predict", "/invocations"]
)
def test_any_json(alone: Asking, path: str) -> None:
    """Any JSON at all is a request or refused."""
    dice = random.Random(path)
    kinds = ["application/json", "application/json", "application/json; charset=utf-8"]
    if path.startswith("/v1"):
        kinds.append("application/cloudevents+json")
    for _ in range(CASES):
        check_refusal(alone.post(path, _documents(dice), kind=dice.choice(kinds)))
    print(f"{path}: {CASES} documents, no 5xx")  # noqa: T201


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v2/models/frame/infer", "application/json"),
        ("/v1/models/frame:predict", "application/json"),
        ("/invocations", "application/json"),
        ("/invocations", "text/csv"),
        ("/invocations", "text/csv; header=absent"),
        ("/invocations", "application/vnd.sagemaker-triton.binary+json;json-header-size=9"),
    ],
)
def test_any_bytes(alone: Asking, path: str, kind: str) -> None:
    """Any bytes at all are a request or refused, however deep they nest."""
    dice = random.Random(path + kind)
    hostile = [
        b"", b"[" * 100_000, b'{"a":' * 50_000, b'{"inputs":' + b"[" * 5_000, b"\xff\xfe",
        b"\0" * 99,
        b'"' + b"a" * 200_000, b"a,b\n" * 9, b'"a', b"amount\n1\n", b"," * 5_000, b"\n" * 5_000,
        b'{"instances": [[NaN]]}', b'{"instances": [Infinity]}', b'{"x": 1e999}',
    ]  # fmt: skip
    bodies = [*hostile, *(dice.randbytes(dice.randrange(60)) for _ in range(CASES))]
    for body in bodies:
        response = alone.post(path, body, kind=kind)
        check_refusal(response)
        assert response.status_code != 200
    print(f"{path}, {kind}: {len(bodies)} bodies refused, no 5xx")  # noqa: T201
