"""Which features, and whether the answers, moved away from the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.contract.bins import labels, reference_counts
from shipway.contract.schema import Bins, CategoricalBins, Contract, NumericBins
from shipway.domain.model import Kind
from shipway.evidence.drift import DriftMeasure, drift, judge_drift
from shipway.evidence.verdict import Measurement, Verdict
from shipway.monitoring.findings import BinShift, Movement
from shipway.monitoring.rows import INPUT, as_text, moment_of

Effects = Callable[[NDArray[np.int64], NDArray[np.float64]], dict[str, float]]
"""From the bin of each row and the reference's shares to the effect on each metric."""

_SHOWN_BINS = 5
_TIMES = (Kind.DATE, Kind.TIMESTAMP)


def feature_movements(
    predictions: pl.DataFrame,
    contract: Contract,
    *,
    blocks: NDArray[np.int64] | None,
    margin: float,
    confidence: float = 0.95,
    minimum_rows: int = 200,
    effects: Effects | None = None,
) -> tuple[Movement, ...]:
    """Each feature with reference bins against training, the farthest moved first.

    Of a personal column no value was kept, so nothing is said. *blocks* (n,) says which rows are
    not independent (a day's). P-values are adjusted over the features (Benjamini and Yekutieli).
    *effects* is asked for those that moved.
    """
    columns = {
        column.name: (column.bins, values_of(predictions, column.name, column.kind, column.bins))
        for column in contract.features
        if column.bins is not None
        and column.personal is None
        and INPUT + column.name in predictions.columns
    }
    return _movements(columns, blocks, margin, confidence, minimum_rows, effects)


def score_movement(
    answers: NDArray[np.generic],
    bins: Bins,
    *,
    blocks: NDArray[np.int64] | None,
    margin: float,
    confidence: float = 0.95,
    minimum_rows: int = 200,
) -> Movement:
    """The answers (scores, values, or decided classes as text) against those at the gate."""
    columns = {"scores": (bins, answers)}
    return _movements(columns, blocks, margin, confidence, minimum_rows, None)[0]


def values_of(predictions: pl.DataFrame, name: str, kind: Kind, bins: Bins) -> NDArray[np.generic]:
    """The column *name* of the requests as an array that *bins* can count, whatever was sent."""
    values = predictions[INPUT + name]
    if isinstance(bins, CategoricalBins):
        texts = as_text(values)
        return np.array(texts.to_list(), dtype=object)
    if kind in _TIMES and values.dtype == pl.String:
        unique = values.unique()
        moments = (moment_of(value) for value in unique.to_list())
        seconds = [None if moment is None else moment.timestamp() for moment in moments]
        parsed = pl.Series(seconds, dtype=pl.Float64)
        values = values.replace_strict(unique, parsed, return_dtype=pl.Float64)
    return values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def slots_of(bins: Bins, values: NDArray[np.generic]) -> NDArray[np.int64]:
    """The place in the counts of *bins* of each of *values* (n,)."""
    if isinstance(bins, NumericBins):
        numbers = values.astype(np.float64)
        slots = np.searchsorted(np.asarray(bins.edges), numbers, side="right")
        return np.where(np.isnan(numbers), len(bins.edges) + 1, slots).astype(np.int64)
    place: dict[object, int] = {name: slot for slot, name in enumerate(bins.categories)}
    place[None] = len(bins.categories) + 1
    other = len(bins.categories)
    return np.fromiter((place.get(v, other) for v in values.tolist()), np.int64, len(values))


def _movements(
    columns: Mapping[str, tuple[Bins, NDArray[np.generic]]],
    blocks: NDArray[np.int64] | None,
    margin: float,
    confidence: float,
    minimum_rows: int,
    effects: Effects | None,
) -> tuple[Movement, ...]:
    slots = {name: slots_of(bins, values) for name, (bins, values) in columns.items()}
    measures = {
        name: drift(
            reference_counts(bins),
            _counts(slots[name], len(reference_counts(bins)), blocks),
            edges=bins.edges if isinstance(bins, NumericBins) else None,
            confidence=confidence,
            minimum_rows=minimum_rows,
        )
        for name, (bins, _) in columns.items()
    }
    found = []
    for finding in judge_drift(measures, margin=margin, confidence=confidence):
        bins = columns[finding.name][0]
        before = reference_counts(bins) / max(int(reference_counts(bins).sum()), 1)
        moved = finding.verdict is Verdict.FAIL
        found.append(
            Movement(
                name=finding.name,
                psi=_effect(finding.measure, "psi", confidence),
                others={
                    name: one for name, one in finding.measure.effects.items() if name != "psi"
                },
                margin=margin,
                moved=moved,
                verdict=finding.verdict,
                reason=finding.reason,
                bins=_shifts(bins, before, slots[finding.name]),
                effects=effects(slots[finding.name], before) if moved and effects else {},
            )
        )
    return tuple(found)


def _counts(
    slots: NDArray[np.int64], size: int, blocks: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Counts of *slots*: (size,), or (blocks, size) with a row for each block."""
    if blocks is None:
        return np.bincount(slots, minlength=size)
    _, codes = np.unique(blocks, return_inverse=True)
    rows = int(codes.max()) + 1 if len(codes) else 1
    return np.bincount(codes * size + slots, minlength=rows * size).reshape(rows, size)


def _effect(measure: DriftMeasure, name: str, confidence: float) -> Measurement:
    nothing = Measurement(
        metric=name,
        value=None,
        low=None,
        high=None,
        n=measure.n_window,
        method="none",
        confidence=confidence,
        note=measure.note or "not defined on these counts",
    )
    return measure.effects.get(name, nothing)


def _shifts(
    bins: Bins, before: NDArray[np.float64], slots: NDArray[np.int64]
) -> tuple[BinShift, ...]:
    """The bins whose share changed most."""
    now = np.bincount(slots, minlength=len(before)) / max(len(slots), 1)
    names = labels(bins)
    order = np.argsort(-np.abs(now - before), kind="stable")[:_SHOWN_BINS]
    return tuple(
        BinShift(name=names[slot], reference=float(before[slot]), window=float(now[slot]))
        for slot in order.tolist()
        if now[slot] != before[slot]
    )
