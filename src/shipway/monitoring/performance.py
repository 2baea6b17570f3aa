"""What came true: the labelled predictions of a window as outcomes that can be judged."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.objectives import Objectives
from shipway.domain.text import text_of
from shipway.evidence.outcomes import Labels, Outcomes, time_blocks
from shipway.monitoring.rows import INPUT, as_text
from shipway.monitoring.window import Window

_MONTH_DAYS = 28


def labelled(frame: pl.DataFrame, task: Task, classes: tuple[Scalar, ...]) -> pl.DataFrame:
    """The rows of *frame* whose truth and decision can be compared.

    A truth that is no class of the model (or no number, in regression) is left out.
    """
    known = frame.filter(pl.col("truth").is_not_null(), pl.col("label").is_not_null())
    if task is Task.REGRESSION:
        numbers = known["truth"].cast(pl.Float64, strict=False)
        return known.filter(numbers.is_finite().fill_null(value=False))
    if task is Task.BINARY:
        known = known.filter(pl.col("score").is_not_null())
    texts = pl.Series([text_of(value) for value in classes], dtype=pl.String)
    both = as_text(known["truth"]).is_in(texts.implode()) & as_text(known["label"]).is_in(
        texts.implode()
    )
    return known.filter(both)


def outcomes_of(
    frame: pl.DataFrame,
    objectives: Objectives,
    *,
    classes: tuple[Scalar, ...] = (),
    positive: int = 1,
    threshold: float | None = None,
    window: Window | None = None,
) -> Outcomes:
    """The outcomes of the rows of *frame*, which :func:`labelled` kept.

    Decisions are those that were answered, not those that a threshold would give now. Rows of
    one block (by default a day) are not taken as independent.
    """
    blocks = _blocks(frame, objectives.block, window)
    slices = _slices(frame, objectives)
    if objectives.task is Task.REGRESSION:
        return Outcomes(
            task=objectives.task,
            truth=frame["truth"].cast(pl.Float64, strict=False).to_numpy(),
            decided=frame["label"].cast(pl.Float64, strict=False).to_numpy(),
            blocks=blocks,
            slices=slices,
        )
    return Outcomes(
        task=objectives.task,
        truth=_indices(frame["truth"], classes),
        decided=_indices(frame["label"], classes),
        scores=scores_of(frame, objectives.task, len(classes)),
        classes=classes,
        positive=positive,
        costs=objectives.costs,
        threshold=threshold,
        blocks=blocks,
        slices=slices,
    )


def scores_of(frame: pl.DataFrame, task: Task, classes: int) -> NDArray[np.float64]:
    """What the model said of each row: (n,) scores or values, (n, *classes*) probabilities."""
    if task is not Task.MULTICLASS:
        return frame["score"].cast(pl.Float64).to_numpy()
    rows = np.array(frame["probabilities"].to_list(), dtype=np.float64)
    return rows.reshape(frame.height, classes)


def _blocks(frame: pl.DataFrame, block: str, window: Window | None) -> Labels | None:
    if INPUT + block in frame.columns:
        return as_text(frame[INPUT + block]).fill_null("missing").to_numpy()
    if block not in ("hour", "day", "week", "row"):
        block = "day"  # a column that requests do not carry
    if block == "week" and window and (window.until - window.since).days < _MONTH_DAYS:
        block = "day"  # one block has no interval
    times = frame["event_time"].dt.replace_time_zone(None).to_numpy()
    return time_blocks(times.astype("datetime64[us]"), block)


def _slices(frame: pl.DataFrame, objectives: Objectives) -> dict[str, Labels]:
    names = {name for objective in objectives.objectives for name in objective.slices}
    return {
        name: as_text(frame[INPUT + name]).fill_null("missing").to_numpy()
        if INPUT + name in frame.columns
        else np.full(frame.height, "missing", dtype=object)
        for name in sorted(names)
    }


def _indices(values: pl.Series, classes: tuple[Scalar, ...]) -> NDArray[np.int64]:
    texts = [text_of(value) for value in classes]
    found = as_text(values).replace_strict(
        texts, list(range(len(texts))), default=None, return_dtype=pl.Int64
    )
    return found.to_numpy().astype(np.int64)
