"""A small scoring job in a process of its own: ``python -m tests.scoring_child INPUT OUTPUT``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from shipway.batch.score import ScoreSummary, score
from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.inference.decision import Decided
from shipway.monitoring.scored import Seen
from shipway.runtimes.port import Columns

CONTRACT = Contract(
    model="toy",
    task=Task.BINARY,
    columns=(
        Column(name="key", kind=Kind.STRING, role=Role.ID),
        Column(name="x", kind=Kind.NUMBER, role=Role.FEATURE),
        Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
    ),
)


class Sigmoid:
    """Answers by ``x`` alone; tells *called* of the rows before each answer."""

    def __init__(self, called: Callable[[int], None] = lambda _: None) -> None:
        self._called = called

    def predict_columns(self, columns: Columns) -> Decided:
        """Scores and labels of encoded columns."""
        x = np.asarray(columns["x"], dtype=np.float64)
        self._called(len(x))
        scores = 1 / (1 + np.exp(-x))
        return Decided(scores=scores, labels=(scores > 0.5).astype(np.int64))


def table(rows: int, *, bad_every: int = 0) -> pl.DataFrame:
    """Rows with a key and a number; every so many lack the number."""
    x = pl.Series("x", np.random.default_rng(7).normal(size=rows))
    frame = pl.DataFrame({"key": [f"k{at}" for at in range(rows)], "x": x})
    if bad_every:
        row = pl.int_range(pl.len())
        frame = frame.with_columns(x=pl.when(row % bad_every != 3).then("x"))
    return frame


def run(
    source: Path,
    output: Path,
    called: Callable[[int], None] = lambda _: None,
    *,
    chunk_rows: int = 1_000,
    version: str = "toy@1",
    seen: Seen | None = None,
    max_bad_share: float = 0.5,
) -> ScoreSummary:
    """Score *source* into *output*."""
    return score(
        source,
        output,
        predictor=Sigmoid(called),
        contract=CONTRACT,
        version=version,
        classes=(0, 1),
        keep_inputs=True,
        chunk_rows=chunk_rows,
        max_bad_share=max_bad_share,
        seen=seen,
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), lambda _: time.sleep(0.002), chunk_rows=5_000)
