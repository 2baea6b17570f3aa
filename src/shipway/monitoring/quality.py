"""Data quality: values that break what the contract promises, told apart from drift."""

from __future__ import annotations

import polars as pl

from shipway.contract.schema import CategoricalBins, Column, Contract
from shipway.domain.model import Kind
from shipway.evidence.intervals import proportion
from shipway.monitoring.findings import Fault
from shipway.monitoring.rows import INPUT, as_text

_MARGIN = 0.01
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)


def faults(
    predictions: pl.DataFrame, contract: Contract, *, confidence: float = 0.95
) -> tuple[Fault, ...]:
    """The shares of missing, unseen and out-of-range values of each feature that has any."""
    found: list[Fault] = []
    n = predictions.height
    if not n:
        return ()
    level = 1 - (1 - confidence) / max(len(contract.features), 1)
    for column in (one for one in contract.features if one.personal is None):
        for rule, rows, reference in _counted(predictions, column):
            if rows:
                interval = proportion(rows, n, level)
                low, high = interval.low or 0.0, 1.0 if interval.high is None else interval.high
                found.append(
                    Fault(
                        column=column.name,
                        rule=rule,
                        rows=rows,
                        share=rows / n,
                        low=low,
                        high=high,
                        reference=reference,
                        raised=rows / n > reference + _MARGIN and low > reference,
                    )
                )
    return tuple(sorted(found, key=lambda fault: (not fault.raised, -fault.share)))


def _counted(predictions: pl.DataFrame, column: Column) -> list[tuple[str, int, float]]:
    """Each rule that applies to *column*: its name, the rows that break it, the share before."""
    name = INPUT + column.name
    if name not in predictions.columns:
        return [("missing", predictions.height, column.null_rate)]
    values = predictions[name]
    missing = values.is_null() | values.is_nan() if values.dtype.is_float() else values.is_null()
    counted = [("missing", int(missing.sum()), column.null_rate)]
    if column.categories is not None:
        known = pl.Series(column.categories, dtype=pl.String).implode()
        unseen = ~as_text(values).is_in(known) & ~missing
        counted.append(("unseen", int(unseen.fill_null(value=False).sum()), _other(column)))
    bounded = column.minimum is not None or column.maximum is not None
    if column.kind in _NUMBERS and bounded and values.dtype.is_numeric():
        numbers = values.cast(pl.Float64)
        low = float("-inf") if column.minimum is None else column.minimum
        high = float("inf") if column.maximum is None else column.maximum
        outside = ((numbers < low) | (numbers > high)) & ~missing
        counted.append(("out-of-range", int(outside.fill_null(value=False).sum()), 0.0))
    return counted


def _other(column: Column) -> float:
    """The share of rarer categories in training, which are no surprise."""
    bins = column.bins
    if not isinstance(bins, CategoricalBins):
        return 0.0
    total = sum(bins.counts) + bins.other + bins.missing
    return bins.other / total if total else 0.0
