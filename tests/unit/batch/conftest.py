"""A small contract and a model whose answer can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from shipway.contract.schema import Column, Contract, Policy, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.inference.decision import Decided
from shipway.runtimes.port import Columns


@dataclass(frozen=True)
class Linear:
    """Scores ``x / (rows of the whole table)`` and decides at a half; remembers its call sizes."""

    sizes: list[int] = field(default_factory=list, repr=False)

    def predict_columns(self, columns: Columns) -> Decided:
        x = columns["x"].astype(np.float64)
        self.sizes.append(len(x))
        return Decided(x / 1000.0, np.where(x >= 500, 1, 0).astype(np.int64))


@pytest.fixture
def linear() -> Linear:
    return Linear()


@pytest.fixture
def contract() -> Contract:
    return Contract(
        model="toy",
        task=Task.BINARY,
        columns=(
            Column(name="key", kind=Kind.STRING, role=Role.ID, nullable=True),
            Column(name="x", kind=Kind.NUMBER, minimum=0, maximum=1e6, out_of_range=Policy.REJECT),
            Column(name="n", kind=Kind.INTEGER, nullable=True),
            Column(name="flag", kind=Kind.BOOLEAN, nullable=True),
            Column(name="carrier", kind=Kind.STRING, nullable=True, categories=("UA", "AA")),
            Column(name="at", kind=Kind.TIMESTAMP, role=Role.TIME),
            Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
        ),
    )
