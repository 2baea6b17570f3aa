"""Reference bins: a column's training data as a few exact counts that windows are held against.

Counts of parts add up to the count of the whole, so workers, hours and replicas merge by adding.
Values outside of what training saw, and missing values, have bins of their own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipway.contract.schema import Bins, CategoricalBins, NumericBins
from shipway.domain.model import Kind
from shipway.domain.text import text_of

MAX_BINS = 10
MAX_DISCRETE = 30
MAX_CATEGORIES = 100

_Array = NDArray[Any]


def make_bins(
    values: _Array,
    kind: Kind,
    *,
    categories: Sequence[str] | None = None,
    max_bins: int = MAX_BINS,
    max_discrete: int = MAX_DISCRETE,
    max_categories: int = MAX_CATEGORIES,
) -> Bins | None:
    """The bins of training *values* (an array in the dtype of *kind*) with their counts.

    Numbers and times (seconds since 1970): one bin a value when there are at most *max_discrete*
    different ones, else *max_bins* bins of about equal mass; the outermost two bins hold what lies
    outside of training. Strings and booleans: the *max_categories* most frequent values. With
    *categories* those are the bins, whatever the kind. None when there is nothing to count.
    """
    if categories is not None or kind in (Kind.STRING, Kind.BOOLEAN):
        named = as_booleans(values) if kind is Kind.BOOLEAN else values
        chosen = _frequent(named, max_categories) if categories is None else list(categories)
        if not chosen:
            return None
        return _filled_categorical(tuple(chosen[:max_categories]), named)
    numbers = _numbers(values)
    finite = numbers[np.isfinite(numbers)]
    if finite.size == 0:
        return None
    edges = _edges(finite, max_bins, max_discrete, whole=kind is Kind.INTEGER)
    empty = NumericBins(edges=edges, counts=(0,) * (len(edges) + 1), missing=0)
    counts = count(empty, numbers).tolist()
    return NumericBins(edges=edges, counts=tuple(counts[:-1]), missing=counts[-1])


def count(bins: Bins, values: _Array) -> NDArray[np.int64]:
    """How many of *values* fall into each bin; the last entry counts the missing.

    Numeric: ``len(edges) + 2`` entries, minus infinity in the first and infinity in the last but
    one. Categorical: one a category in order, then every other value, then the missing.
    """
    if isinstance(bins, NumericBins):
        numbers = _numbers(values)
        missing = np.isnan(numbers)
        present = numbers[~missing] if missing.any() else numbers
        slots = np.searchsorted(np.asarray(bins.edges, dtype=np.float64), present, side="right")
        counts = np.bincount(slots, minlength=len(bins.edges) + 1)
        return np.append(counts, missing.sum()).astype(np.int64)
    if set(bins.categories) <= {"true", "false"}:
        values = as_booleans(values)
    texts, frequencies, missing_rows = text_counts(values)
    known = dict(zip(texts, frequencies, strict=True))
    counted = [known.pop(category, 0) for category in bins.categories]
    return np.array([*counted, sum(known.values()), missing_rows], dtype=np.int64)


def reference_counts(bins: Bins) -> NDArray[np.int64]:
    """The training counts in the order in which :func:`count` gives a window's."""
    if isinstance(bins, NumericBins):
        return np.array([*bins.counts, bins.missing], dtype=np.int64)
    return np.array([*bins.counts, bins.other, bins.missing], dtype=np.int64)


def labels(bins: Bins) -> list[str]:
    """A name for each entry of :func:`count`, in order."""
    if isinstance(bins, CategoricalBins):
        return [*bins.categories, "other", "missing"]
    shown = [f"{edge:.6g}" for edge in bins.edges]
    between = [f"{low} to {high}" for low, high in pairwise(shown)]
    return [f"below {shown[0]}", *between, f"{shown[-1]} and above", "missing"]


def as_booleans(values: _Array) -> _Array:
    """Booleans that are kept as 0.0, 1.0 and NaN as the objects they stand for; else *values*."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        return array
    named = {0.0: False, 1.0: True}
    return np.array([named.get(value, value) for value in array.tolist()], dtype=object)


def text_counts(values: _Array) -> tuple[list[str], list[int], int]:
    """The text forms of *values* in order of appearance, how often each is, and how many miss."""
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        present = array[~np.isnan(array)] if array.dtype.kind == "f" else array
        found, frequencies = np.unique(present, return_counts=True)
        texts = [text_of(value) for value in found.tolist()]
        return texts, frequencies.tolist(), array.size - present.size
    tally = Counter(array.tolist())
    missing = sum(times for value, times in tally.items() if _is_missing(value))
    named: dict[str, int] = {}
    for value, times in tally.items():
        if not _is_missing(value):
            text = text_of(value)
            named[text] = named.get(text, 0) + times
    return list(named), list(named.values()), missing


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124


def _frequent(values: _Array, most: int) -> list[str]:
    texts, frequencies, _ = text_counts(values)
    pairs = sorted(zip(texts, frequencies, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return [text for text, _ in pairs[:most]]


def _filled_categorical(categories: tuple[str, ...], values: _Array) -> CategoricalBins:
    zeros = (0,) * len(categories)
    empty = CategoricalBins(categories=categories, counts=zeros, other=0, missing=0)
    *counts, other, missing = count(empty, values).tolist()
    return CategoricalBins(
        categories=categories, counts=tuple(counts), other=other, missing=missing
    )


def _edges(
    finite: NDArray[np.float64], max_bins: int, max_discrete: int, *, whole: bool
) -> tuple[float, ...]:
    distinct = np.unique(finite)
    if distinct.size <= max_discrete:
        inner = distinct
    else:
        shares = np.linspace(0.0, 1.0, max_bins + 1)[:-1]
        inner = np.unique(np.quantile(finite, shares, method="inverted_cdf"))
    # The last edge lies just above the largest value, so that what is beyond stands apart.
    last = float(distinct[-1])
    beyond = last + 1.0 if whole and abs(last) < 2.0**53 else math.nextafter(last, math.inf)
    edges = [float(edge) for edge in inner]
    return (*edges, float(beyond)) if math.isfinite(beyond) else tuple(edges)


def _numbers(values: _Array) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind == "M":
        seconds = array.astype("datetime64[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(array), np.nan, seconds)
    return array.astype(np.float64)
