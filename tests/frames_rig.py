"""Models on frames of every kind of column, whose scores tell apart any two rows that differ.

``FRAME`` has strings, categories, nulls, dates and times; ``NUMBERS`` is all numbers, for matrices.
Rows are drawn with a fixed seed, a good share of them from the edges of each kind.
"""

from __future__ import annotations

import json
import random
import string
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import httpx
import numpy as np
from numpy.typing import NDArray
from tests.serving_rig import MemoryRouting, MemorySink, World

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.inference.predictor import Answer, Predictor, Request, ServedVersion
from shipway.registry.records import EndpointState
from shipway.runtimes.port import Columns
from shipway.serving.routing import LoadedVersion

Cells = dict[str, list[Any]]

FRAME = Contract(
    model="frame",
    task=Task.BINARY,
    columns=(
        Column(name="amount", kind=Kind.NUMBER, example=12.5),
        Column(name="rate", kind=Kind.NUMBER, nullable=True, minimum=0, maximum=1, example=0.5),
        Column(name="count", kind=Kind.INTEGER, example=3),
        Column(name="visits", kind=Kind.INTEGER, nullable=True, example=1),
        Column(name="member", kind=Kind.BOOLEAN, example=True),
        Column(name="opted", kind=Kind.BOOLEAN, nullable=True, example=False),
        Column(name="city", kind=Kind.STRING, categories=("Lima", "Tunis"), example="Lima"),
        Column(name="note", kind=Kind.STRING, nullable=True, example="007"),
        Column(name="born", kind=Kind.DATE, example="1980-02-29"),
        Column(name="seen", kind=Kind.TIMESTAMP, nullable=True, example="2013-04-01T12:00:00Z"),
        Column(name="asked", kind=Kind.TIMESTAMP, role=Role.TIME),
        Column(name="left", kind=Kind.BOOLEAN, role=Role.TARGET),
    ),
)
NUMBERS = Contract(
    model="numbers",
    task=Task.MULTICLASS,
    columns=tuple(
        Column(name=f"x{place}", kind=Kind.NUMBER, nullable=place > 1, example=0.25)
        for place in range(5)
    ),
)
CLASSES: Mapping[str, tuple[Any, ...]] = {"frame": (False, True), "numbers": ("a", "b", "c")}
DATATYPES = {
    Kind.NUMBER: "FP64",
    Kind.INTEGER: "INT64",
    Kind.BOOLEAN: "BOOL",
    Kind.STRING: "BYTES",
    Kind.DATE: "BYTES",
    Kind.TIMESTAMP: "BYTES",
}


class MixingModel:
    """Probabilities made of all bits of all columns of a row."""

    def __init__(self, contract: Contract) -> None:
        self.spec = ModelSpec(
            format="fake",
            task=contract.task,
            inputs=tuple(InputSpec(c.name, c.kind, c.nullable) for c in contract.features),
            classes=CLASSES[contract.model],
            main_file="model.fake",
        )

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """(n, k) probabilities; the first class has what the others leave."""
        mixed: Any = np.uint64(1469598103934665603)
        with np.errstate(over="ignore"):
            for name in (one.name for one in self.spec.inputs):
                mixed = (mixed ^ _bits(np.asarray(columns[name]))) * np.uint64(1099511628211)
                mixed ^= mixed >> np.uint64(29)
        width = len(self.spec.classes)
        parts = [
            ((mixed >> np.uint64(shift)) & np.uint64(0xFFFFF)).astype(np.float64) / 2**20 / width
            for shift in range(0, 20 * (width - 1), 20)
        ]
        return np.column_stack([1 - sum(parts), *parts])

    def close(self) -> None:
        """Nothing to let go of."""


def _bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    if values.dtype == object:
        texts = (0 if one is None else 1 + crc32(one.encode()) for one in values)
        return np.fromiter(texts, dtype=np.uint64, count=len(values))
    if values.dtype == bool:
        return values.astype(np.uint64)
    return np.ascontiguousarray(values).view(np.uint64)


def version(contract: Contract) -> ServedVersion:
    """Version 1 of the model of *contract*."""
    return ServedVersion(
        endpoint=contract.model,
        model=contract.model,
        number=1,
        digest="sha256:" + "0" * 64,
        contract=contract,
        spec=MixingModel(contract).spec,
        threshold=0.25 if contract.task is Task.BINARY else None,
    )


class FrameRouting(MemoryRouting):
    """Serves the models of the contracts that it is given."""

    def __init__(self, *contracts: Contract, **further: Any) -> None:
        super().__init__(**further)
        self._contracts = {contract.model: contract for contract in contracts}
        self._endpoints = {
            name: EndpointState(endpoint=name, model=name, live=1, sequence=1)
            for name in self._contracts
        }

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """The model of the endpoint's contract."""
        contract = self._contracts[endpoint.model]
        return LoadedVersion(served=version(contract), model=MixingModel(contract))


@dataclass(frozen=True)
class Told:
    """Labels and scores of rows, however they were asked for."""

    labels: list[Any]
    scores: list[Any]


def in_process(contract: Contract, cells: Cells) -> Told:
    """What the predictor says without any transport."""
    predictor = Predictor(version(contract), MixingModel(contract), MemorySink(), lambda: 0)
    (outcome,) = predictor.predict([Request("r", cells, "", 0)])
    assert isinstance(outcome, Answer), outcome
    return Told(list(outcome.labels), list(outcome.scores))


# ---- rows -------------------------------------------------------------------------------------


def valid_rows(contract: Contract, rows: int, dice: random.Random, *, further: bool) -> Cells:
    """Columns of valid cells; with the time column if *further*."""
    columns = contract.request_columns if further else contract.features
    return {
        column.name: [
            None if column.nullable and dice.random() < 0.2 else _cell(column, dice)
            for _ in range(rows)
        ]
        for column in columns
    }


def _cell(column: Column, dice: random.Random) -> Any:
    match column.kind:
        case Kind.NUMBER:
            return _number(dice)
        case Kind.INTEGER:
            # A column that may miss values is float64, which holds 53 bits of a whole number.
            most = 2**53 - 1 if column.nullable else 2**63 - 1
            return dice.choice([0, -1, most, -most, dice.randint(-most, most), dice.randint(0, 99)])
        case Kind.BOOLEAN:
            return dice.random() < 0.5
        case Kind.STRING:
            return _text(column, dice)
        case Kind.DATE:
            return _moment(dice).date().isoformat()
        case _:
            text = _moment(dice).isoformat()
            return text if dice.random() < 0.5 else text.replace("+00:00", "Z")


def _number(dice: random.Random) -> float:
    edges = [0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, -1e300, 2.0**53, 1 / 3]
    if dice.random() < 0.3:
        return dice.choice(edges)
    while True:
        (value,) = struct.unpack("<d", dice.randbytes(8))
        if value == value and abs(value) != float("inf"):  # noqa: PLR0124  NaN is not itself
            return float(value)


def _text(column: Column, dice: random.Random) -> str:
    if column.categories and dice.random() < 0.7:
        return dice.choice(column.categories)
    odd = [
        "007",
        "1e5",
        "true",
        "NaN",
        'a "quoted", text',
        "line\nbreak",
        "Zürich",
        "漢字",
        "🛫",
        " ",
    ]
    plain = "".join(dice.choices(string.printable.strip(), k=dice.randint(1, 12)))
    return dice.choice([*odd, plain, plain])


def _moment(dice: random.Random) -> datetime:
    return datetime(1, 1, 2, tzinfo=UTC) + timedelta(
        days=dice.randrange(3_650_000),
        microseconds=dice.choice([0, dice.randrange(86_400 * 10**6)]),
    )


def as_rows(cells: Cells, names: Sequence[str]) -> list[list[Any]]:
    """*cells* row by row."""
    return [list(row) for row in zip(*(cells[name] for name in names), strict=True)]


def as_records(cells: Cells) -> list[dict[str, Any]]:
    """*cells* as records."""
    return [dict(zip(cells, row, strict=True)) for row in as_rows(cells, list(cells))]


# ---- asking -----------------------------------------------------------------------------------


class Asking:
    """Asks one server over plain HTTP."""

    def __init__(self, world: World) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{world.port}", timeout=30)

    def post(self, path: str, body: Any, *, kind: str = "application/json", **headers: str) -> Any:
        """The response to *body*, JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"content-type": kind} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self._client.post(path, content=data, headers=lines)

    def get(self, path: str) -> httpx.Response:
        """The response to a GET."""
        return self._client.get(path)

    def close(self) -> None:
        """Hang up."""
        self._client.close()
