"""The proof that a packed model answers like the original.

Two kinds of rows are asked about. Real rows give the figures of the report: the largest and the
mean difference, and the decisions that flip. Made-up rows (:func:`probes`) then reach where real
ones may not: every column missing that may be, categories never seen, numbers beyond the range;
there a packed model must answer the same, and must fail where the original fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipway.domain.metrics import Task
from shipway.domain.model import Kind, ModelSpec, Parity
from shipway.errors import PredictionFailed
from shipway.runtimes.port import Columns, Model

TOLERANCE = 1e-4
"""The largest difference of a probability, or of a value over the spread of the original's."""
FLIPS_ALLOWED = 0.001
"""The share of rows whose decision may differ; they are within TOLERANCE of the threshold."""
_PROBE_ROWS = 16
_UNSEEN = "\u2603 never seen"

_Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rule:
    """How answers become decisions: ``positive`` is the class's index in a binary task."""

    task: Task
    positive: int = 1
    threshold: float | None = None

    def decisions(self, answers: _Scores) -> NDArray[np.intp]:
        """The decision a row as a number; all the same in regression, which decides nothing."""
        if self.task is Task.REGRESSION:
            return np.zeros(len(answers), dtype=np.intp)
        if self.task is Task.BINARY:
            threshold = 0.5 if self.threshold is None else self.threshold
            return (answers[:, self.positive] >= threshold).astype(np.intp)
        favoured: NDArray[np.intp] = answers.argmax(axis=1)
        return favoured


@dataclass(frozen=True, slots=True)
class Comparison:
    """A parity report, with the rows whose decision flipped."""

    parity: Parity
    flipped: tuple[int, ...]

    def describe(self) -> str:
        """The figures in a sentence."""
        parity = self.parity
        text = (
            f"largest difference {parity.largest_difference:.2g} and {parity.flipped} flipped"
            f" decisions on {parity.rows} rows"
        )
        if self.flipped:
            text += f" (rows {', '.join(str(row) for row in self.flipped[:10])})"
        return text


def compare(original: _Scores, packed: _Scores, rule: Rule) -> Comparison:
    """The answers of the *original* against those of the *packed* model, on the same rows.

    Differences of values are divided by the standard deviation of the original's answers (by 1
    where they are all the same).
    """
    difference = np.abs(original - packed)
    if rule.task is Task.REGRESSION and len(original):
        difference = difference / (float(original.std()) or 1.0)
    flipped = np.flatnonzero(rule.decisions(original) != rule.decisions(packed))
    largest = float(difference.max(initial=0.0))
    parity = Parity(
        rows=len(original),
        largest_difference=largest,
        mean_difference=float(difference.mean()) if difference.size else 0.0,
        flipped=len(flipped),
        threshold=rule.threshold if rule.task is Task.BINARY else None,
        tolerance=TOLERANCE,
        passed=largest <= TOLERANCE and len(flipped) <= FLIPS_ALLOWED * len(original),
    )
    return Comparison(parity, tuple(int(row) for row in flipped))


@dataclass(frozen=True, slots=True)
class Probe:
    """A few rows made up to ask about one thing, named by ``what``."""

    what: str
    columns: Columns


def probes(spec: ModelSpec, sample: Columns) -> Iterator[Probe]:
    """Rows of *sample* with one column at a time pushed to where real rows may not reach."""
    some: dict[str, NDArray[np.generic]] = {
        one.name: sample[one.name][:_PROBE_ROWS] for one in spec.inputs
    }
    rows = len(next(iter(some.values())))
    nullable = [one for one in spec.inputs if one.nullable]
    gaps = {one.name: _missing(one.kind, rows) for one in nullable}
    for name, gap in gaps.items():
        yield Probe(f"a missing {name!r}", {**some, name: gap})
    if len(gaps) > 1:
        yield Probe("all that may be missing", {**some, **gaps})
    for one in spec.inputs:
        if one.kind is Kind.STRING:
            unseen = np.full(rows, _UNSEEN, dtype=object)
            yield Probe(f"a {one.name!r} never seen", {**some, one.name: unseen})
        elif one.kind in (Kind.NUMBER, Kind.INTEGER):
            for what, values in _beyond(sample[one.name], rows):
                yield Probe(f"a {one.name!r} {what} any seen", {**some, one.name: values})


def _missing(kind: Kind, rows: int) -> NDArray[np.generic]:
    if kind is Kind.STRING:
        return np.full(rows, None, dtype=object)
    if kind in (Kind.DATE, Kind.TIMESTAMP):
        return np.full(rows, np.datetime64("NaT"), dtype="datetime64[us]")
    return np.full(rows, np.nan)


def _beyond(values: NDArray[np.generic], rows: int) -> Iterator[tuple[str, NDArray[np.generic]]]:
    known = values[~np.isnan(values.astype(np.float64))].astype(np.float64)
    if known.size:
        reach = max(float(np.ptp(known)), 1.0)
        for what, value in (("below", known.min() - reach), ("above", known.max() + reach)):
            yield what, np.full(rows, np.floor(value), dtype=values.dtype)


def differing_probe(original: Model, packed: Model, rule: Rule, sample: Columns) -> str:
    """What the first probe asked about on which the two differ, or an empty text."""
    spread = 1.0
    if rule.task is Task.REGRESSION:
        spread = float(original.predict(sample).std()) or 1.0
    for probe in probes(packed.spec, sample):
        expected, answered = _try(original, probe), _try(packed, probe)
        if expected is None or answered is None:
            if expected is None and answered is None:
                continue
            refuses = "refuses" if expected is None else "answers"
            return f"{probe.what}, which the original {refuses}"
        difference = np.abs(expected - answered) / spread
        if not np.array_equal(np.isnan(expected), np.isnan(answered)):
            return probe.what
        if float(np.nanmax(difference, initial=0.0)) > TOLERANCE:
            return probe.what
    return ""


def _try(model: Model, probe: Probe) -> _Scores | None:
    try:
        return model.predict(probe.columns)
    except PredictionFailed:
        return None
