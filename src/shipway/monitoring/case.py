"""One window of one model, made ready to be assessed: its rows, and what is known of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.contract.schema import Contract
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.objectives import Objectives
from shipway.evidence.outcomes import Outcomes, positive_index, time_blocks
from shipway.monitoring.performance import labelled, outcomes_of
from shipway.monitoring.reference import Reference
from shipway.monitoring.rows import as_text
from shipway.monitoring.window import Window, within

_BLOCKS_NEEDED = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """``events`` are all rows of the window, refusals among them; ``predictions`` the answered.

    ``truths`` are the predictions whose truth is known and comparable. ``classes``, ``positive``
    and ``threshold`` are the model's.
    """

    contract: Contract
    objectives: Objectives
    window: Window
    reference: Reference | None
    events: pl.DataFrame
    predictions: pl.DataFrame
    truths: pl.DataFrame
    classes: tuple[Scalar, ...]
    positive: int
    threshold: float | None

    @property
    def confidence(self) -> float:
        """The confidence of every interval."""
        return self.objectives.confidence

    def outcomes(self) -> Outcomes:
        """The predictions with known truth, ready to be judged."""
        return outcomes_of(
            self.truths,
            self.objectives,
            classes=self.classes,
            positive=self.positive,
            threshold=self.threshold,
            window=self.window,
        )

    def answers(self) -> NDArray[np.generic]:
        """What was answered (n,), as the reference's score bins count it."""
        if self.objectives.task is Task.MULTICLASS:
            return np.array(as_text(self.predictions["label"]).to_list(), dtype=object)
        column = "score" if self.objectives.task is Task.BINARY else "label"
        numbers = self.predictions[column].cast(pl.Float64, strict=False)
        return numbers.fill_null(float("nan")).to_numpy()

    def with_truth(self) -> NDArray[np.bool_]:
        """Which of the predictions (n,) have a known truth."""
        known = self.truths["prediction_id"].implode()
        return self.predictions["prediction_id"].is_in(known).to_numpy()

    def blocks(self) -> NDArray[np.int64] | None:
        """The day of each prediction, its hour in a window of few days.

        None when the objectives say that rows are independent.
        """
        if self.objectives.block == "row" or not self.predictions.height:
            return None
        long = (self.window.until - self.window.since).days >= _BLOCKS_NEEDED
        times = self.predictions["event_time"].dt.replace_time_zone(None).to_numpy()
        return time_blocks(times.astype("datetime64[us]"), "day" if long else "hour")

    def versions(self) -> dict[str, int]:
        """How many predictions each version answered."""
        counts = self.predictions["version"].value_counts().sort("version")
        return {str(version): n for version, n in counts.iter_rows()}

    def endpoint(self) -> str:
        """The endpoint that most events came through."""
        names = self.events["endpoint"]
        return str(names.mode().sort().first() or "") if len(names) else ""


def case_of(
    frame: pl.DataFrame,
    contract: Contract,
    objectives: Objectives,
    window: Window,
    *,
    reference: Reference | None = None,
    classes: Sequence[Scalar] = (),
    threshold: float | None = None,
) -> Case:
    """The rows of *frame* in *window* that are the contract's model's.

    *classes* are by default the reference's, else the contract's, else those met.
    """
    events = within(frame, window).filter(pl.col("model") == contract.model)
    if "truth" not in events.columns:
        events = events.with_columns(truth=pl.lit(None), observed_at=pl.lit(None))
    known = _classes(events, contract, objectives, reference, classes)
    binary = objectives.task is Task.BINARY
    cut = threshold
    if cut is None:
        cut = reference.threshold if reference else None
    predictions = events.filter(pl.col("row").is_not_null())
    return Case(
        contract=contract,
        objectives=objectives,
        window=window,
        reference=reference,
        events=events,
        predictions=predictions,
        truths=labelled(predictions, objectives.task, known),
        classes=known,
        positive=positive_index(known, objectives.positive) if binary and len(known) > 1 else 0,
        threshold=(objectives.decision_threshold() if cut is None else cut) if binary else None,
    )


def _classes(
    events: pl.DataFrame,
    contract: Contract,
    objectives: Objectives,
    reference: Reference | None,
    classes: Sequence[Scalar],
) -> tuple[Scalar, ...]:
    if objectives.task is Task.REGRESSION:
        return ()
    target = contract.target
    listed = target.categories if target and target.categories else ()
    known = tuple(classes) or (reference.classes if reference else ()) or listed
    if known:
        return known
    met = pl.concat([as_text(events["truth"]), as_text(events["label"])])
    return tuple(met.drop_nulls().unique().sort().to_list())
