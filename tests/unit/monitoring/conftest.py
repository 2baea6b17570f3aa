"""A small world in which it is known what moved: one number, one category, one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from shipway.contract.bins import make_bins
from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.domain.objectives import BaselineKind, Costs, Objective, Objectives, Reference
from shipway.evidence.outcomes import classified
from shipway.monitoring.reference import Reference as GateReference
from shipway.monitoring.reference import make_reference
from shipway.monitoring.rows import MOMENT
from shipway.monitoring.window import Window, window_of

WINDOW = window_of(datetime(2013, 4, 1, tzinfo=UTC), "week")
TRAINED_ROWS = 20_000
GATE_ROWS = 8_000


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance of a positive at each log-odds."""
    return np.asarray(1 / (1 + np.exp(-values)), dtype=np.float64)


@dataclass
class World:
    """A model that knows that the log-odds are 1.5 x; the truth may think otherwise.

    ``objectives`` ask for accuracy and cost, which both follow from x's spread: near 0 nobody can
    decide, far from it anybody can.
    """

    objectives: Objectives = field(
        default_factory=lambda: Objectives(
            task=Task.BINARY,
            objectives=(
                Objective(metric="accuracy", at_least=0.70),
                Objective(metric="cost_per_1000", better_than=Reference.BASELINE),
                Objective(metric="latency_p99_ms", at_most=50.0),
            ),
            costs=Costs(false_positive=1.0, false_negative=2.0),
            threshold=0.5,
            baseline=BaselineKind.BEST_CONSTANT,
            block="day",
        )
    )

    window: Window = WINDOW

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        trained = random.normal(0, 2, TRAINED_ROWS)
        places = np.array(["EWR", "JFK", "LGA"], dtype=object)[random.integers(0, 3, TRAINED_ROWS)]
        self.contract = Contract(
            model="m",
            task=Task.BINARY,
            columns=(
                Column(
                    name="x",
                    kind=Kind.NUMBER,
                    minimum=-20.0,
                    maximum=20.0,
                    bins=make_bins(trained, Kind.NUMBER),
                ),
                Column(
                    name="origin",
                    kind=Kind.STRING,
                    categories=("EWR", "JFK", "LGA"),
                    bins=make_bins(places, Kind.STRING),
                ),
                Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
            ),
            rows=TRAINED_ROWS,
        )
        x = random.normal(0, 2, GATE_ROWS)
        outcomes = classified(
            self.objectives,
            (random.random(GATE_ROWS) < sigmoid(1.5 * x)).astype(np.int64),
            sigmoid(1.5 * x),
            classes=(0, 1),
            blocks=np.arange(GATE_ROWS) % 14,
        )
        self.reference: GateReference = make_reference(
            outcomes, metrics=("accuracy", "cost_per_1000")
        )

    def frame(
        self,
        *,
        seed: int = 1,
        rows: int = 4000,
        spread: float = 2.0,
        slope: float = 1.5,
        labelled: Callable[[NDArray[np.float64]], NDArray[np.float64]] | float = 1.0,
        window: Window = WINDOW,
    ) -> pl.DataFrame:
        """A window's predictions with their truth.

        *spread* is x's (2 as at the gate), *slope* the truth's log-odds a unit of x (1.5 as the
        model thinks), *labelled* the share of labels in, or that as a function of the score.
        """
        random = np.random.default_rng(seed)
        x = random.normal(0, spread, rows)
        scores = sigmoid(1.5 * x)
        truth = random.random(rows) < sigmoid(slope * x)
        share = labelled(scores) if callable(labelled) else np.full(rows, labelled)
        known = random.random(rows) < share
        step = (window.until - window.since) / rows
        times = [window.since + step * row for row in range(rows)]
        return pl.DataFrame(
            {
                "prediction_id": [f"r{row}:0" for row in range(rows)],
                "request_id": [f"r{row}" for row in range(rows)],
                "row": [0] * rows,
                "rows": [1] * rows,
                "received_at": pl.Series(times, dtype=MOMENT),
                "event_time": pl.Series(times, dtype=MOMENT),
                "endpoint": ["m"] * rows,
                "model": ["m"] * rows,
                "version": [1] * rows,
                "latency_us": random.integers(500, 9000, rows),
                "status": [200] * rows,
                "code": [""] * rows,
                "score": scores,
                "probabilities": pl.Series([None] * rows, dtype=pl.List(pl.Float64)),
                "label": (scores >= 0.5).astype(np.int64),
                "input.x": x,
                "input.origin": np.array(["EWR", "JFK", "LGA"])[random.integers(0, 3, rows)],
                "truth": pl.Series(
                    [int(t) if k else None for t, k in zip(truth, known, strict=True)],
                    dtype=pl.Int64,
                ),
                "observed_at": pl.Series([window.until + timedelta(days=1)] * rows, dtype=MOMENT),
            }
        )


@pytest.fixture(scope="session")
def world() -> World:
    """The world as the model knows it."""
    return World()
