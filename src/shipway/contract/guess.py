"""Guesses for ``init``: which column is the target, the time, the id, and which one knows too much.

A guess is a start for a person to correct, so each function rather says nothing than something
that the table does not show.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.domain.metrics import Task

MAX_GUESSED_CLASSES: Final = 20
LEAK_SHARE: Final = 0.3
"""From this share of the target's uncertainty explained by one column on, it is told."""

_TARGET_NAMES = ("target", "label", "labels", "y", "class", "outcome", "response")
_TARGET_HINTS = re.compile(
    r"^(is|has|was|will)_|(^|_)(late|churn(ed)?|default(ed)?|fraud|survived|converted|clicked)$"
)
_TIME_HINTS = ("timestamp", "event_time", "scheduled", "created", "time", "date")
_ID_NAME = re.compile(r"(^|_)(id|uuid|guid|key)$", re.IGNORECASE)
_LEAK_ROWS = 50_000
_LEAK_BINS = 20
_MIN_ROWS_A_GROUP = 20


def guess_target(table: pl.DataFrame) -> str | None:
    """The column that is most likely predicted, by its name, else the last if it has two values."""
    by_name = {name.lower(): name for name in reversed(table.columns)}
    for name in _TARGET_NAMES:
        if name in by_name:
            return by_name[name]
    hinted = [n for n in table.columns if _TARGET_HINTS.search(n.lower()) and _two(table[n])]
    if hinted:
        return hinted[-1]
    last = table.columns[-1] if table.columns else None
    return last if last is not None and _two(table[last]) else None


def _two(series: pl.Series) -> bool:
    return _countable(series) and series.drop_nulls().n_unique() == 2


def _countable(series: pl.Series) -> bool:
    return not (series.dtype.is_nested() or series.dtype == pl.Object)


def guess_task(table: pl.DataFrame, target: str) -> Task:
    """The task that the values of *target* suggest; a column that is not there is a regression."""
    return _task_and_reason(table, target)[0]


def why_task(table: pl.DataFrame, target: str) -> str:
    """In words, what :func:`guess_task` saw."""
    return _task_and_reason(table, target)[1]


def _task_and_reason(table: pl.DataFrame, target: str) -> tuple[Task, str]:
    if target not in table.columns or not _countable(table[target]):
        return Task.REGRESSION, f"there is no usable column {target!r}"
    values = table[target].drop_nulls()
    if values.dtype.is_float():
        values = values.drop_nans()
    distinct = values.n_unique()
    if distinct <= 2:
        return Task.BINARY, f"{target!r} has {distinct} different values"
    if not values.dtype.is_numeric():
        return Task.MULTICLASS, f"{target!r} has {distinct} different names"
    whole = values.dtype.is_integer() or bool((values == values.floor()).all())
    if whole and distinct <= MAX_GUESSED_CLASSES and len(values) >= 10 * distinct:
        return Task.MULTICLASS, f"{target!r} has only {distinct} different whole numbers"
    return Task.REGRESSION, f"{target!r} has {distinct} different numbers"


def guess_time(table: pl.DataFrame) -> str | None:
    """The time or date column whose name says so most, else the one with most different values."""
    times = [n for n, dtype in table.schema.items() if dtype in (pl.Datetime, pl.Date)]
    for hint in _TIME_HINTS:
        hinted = [name for name in times if hint in name.lower()]
        if hinted:
            return max(hinted, key=lambda name: table[name].n_unique())
    return max(times, key=lambda name: table[name].n_unique(), default=None)


def guess_id(table: pl.DataFrame) -> str | None:
    """The first column named like an id whose values are all there and all different."""
    for name, dtype in table.schema.items():
        identifying = dtype in (pl.String, pl.Categorical) or dtype.is_integer()
        if not identifying or not _ID_NAME.search(name):
            continue
        if table[name].null_count() == 0 and table[name].n_unique() == table.height:
            return name
    return None


def leaks(table: pl.DataFrame, target: str) -> list[str]:
    """A line for each column that alone explains suspiciously much of *target*.

    Measured is the share of the target's entropy (Theil's uncertainty coefficient) that a column,
    in 20 bins or its categories, takes away; of a target of many numbers its deciles stand in.
    """
    if target not in table.columns or not _countable(table[target]):
        return []
    known = table.filter(pl.col(target).is_not_null())
    if known.height > _LEAK_ROWS:
        known = known.gather_every(known.height // _LEAK_ROWS)
    truth = _codes(known[target], 10)
    if truth is None:
        return []
    found: list[tuple[float, str]] = []
    for series in known.iter_columns():
        codes = None if series.name == target else _codes(series, _LEAK_BINS)
        share = 0.0 if codes is None else _explained(codes, truth)
        if share >= LEAK_SHARE:
            found.append((share, series.name))
    return [
        f"{name!r} alone explains {share:.0%} of {target!r}: is it known before the prediction?"
        for share, name in sorted(found, reverse=True)
    ]


def _codes(series: pl.Series, bins: int) -> NDArray[np.int64] | None:
    """*series* as whole numbers, one a group; None where the groups are too small to count."""
    if not _countable(series):
        return None
    if series.dtype.is_temporal():
        series = series.to_physical()
    distinct = series.n_unique()
    if series.dtype.is_numeric() and distinct > bins:
        values = series.cast(pl.Float64).to_numpy()
        finite = values[np.isfinite(values)]
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, bins + 1)[1:-1]))
        return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values)).astype(
            np.int64
        )
    if distinct * _MIN_ROWS_A_GROUP > max(len(series), 1):
        return None
    return series.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _explained(codes: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """1 - H(truth | codes) / H(truth); 0 for a truth of one value."""
    rows = len(truth)
    _, totals = np.unique(truth, return_counts=True)
    uncertainty = _entropy(totals / rows)
    if uncertainty == 0.0:
        return 0.0
    width = int(truth.max()) + 1
    _, cells = np.unique(codes * width + truth, return_counts=True)
    _, groups = np.unique(codes, return_counts=True)
    conditional = _entropy(cells / rows) - _entropy(groups / rows)
    return 1.0 - conditional / uncertainty


def _entropy(shares: NDArray[np.float64]) -> float:
    return float(-(shares * np.log(shares)).sum())
