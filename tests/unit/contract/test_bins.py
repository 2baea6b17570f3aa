"""Reference bins: exact, mergeable, and nothing falls between them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.bins import count, labels, make_bins, reference_counts
from shipway.contract.schema import Bins, CategoricalBins, NumericBins
from shipway.domain.model import Kind

_NUMBERS = st.lists(st.floats(width=64), max_size=60)
_TEXTS = st.lists(st.one_of(st.none(), st.sampled_from("abcde"), st.text(max_size=2)), max_size=40)


def _made(values: object, kind: Kind, dtype: object = np.float64) -> Bins:
    bins = make_bins(np.array(values, dtype=dtype), kind)  # type: ignore[call-overload]
    assert bins is not None
    return bins


@given(_NUMBERS, _NUMBERS)
def test_numeric_counts_sum_to_n_and_merge(training: list[float], window: list[float]) -> None:
    """Each value is in one bin, and the counts of two parts add up to the whole's."""
    bins = make_bins(np.array(training), Kind.NUMBER)
    if bins is None:
        assert not any(math.isfinite(value) for value in training)
        return
    assert isinstance(bins, NumericBins)
    assert list(bins.edges) == sorted(set(bins.edges))
    assert reference_counts(bins).sum() == len(training)
    assert (reference_counts(bins) == count(bins, np.array(training))).all()
    counts = count(bins, np.array(window, dtype=np.float64))
    assert counts.sum() == len(window)
    assert len(counts) == len(labels(bins)) == len(bins.edges) + 2
    half = len(window) // 2
    parts = [
        count(bins, np.array(part, dtype=np.float64)) for part in (window[:half], window[half:])
    ]
    assert (counts == sum(parts)).all()


@given(_TEXTS, _TEXTS)
def test_categorical_counts_sum_to_n_and_merge(
    training: list[str | None], window: list[str | None]
) -> None:
    """Known values, all others and the missing together are every row."""
    bins = make_bins(np.array(training, dtype=object), Kind.STRING)
    if bins is None:
        assert all(value is None for value in training)
        return
    assert reference_counts(bins).sum() == len(training)
    counts = count(bins, np.array(window, dtype=object))
    assert counts.sum() == len(window)
    assert counts[-1] == window.count(None)
    assert len(counts) == len(labels(bins))


def test_what_lies_outside_of_training_has_bins_of_its_own() -> None:
    """Below, above, infinite and missing values never mix with what training saw."""
    bins = _made(np.arange(1000.0), Kind.NUMBER)
    counts = count(bins, np.array([-1.0, -np.inf, 999.0, 999.5, np.inf, np.nan]))
    assert counts[0] == 2
    assert counts[-3:].tolist() == [1, 2, 1]
    assert reference_counts(bins)[[0, -2]].tolist() == [0, 0]


def test_few_whole_numbers_get_a_bin_each() -> None:
    """Weekdays are not cut into quantiles."""
    bins = _made([1, 2, 2, 7], Kind.INTEGER)
    assert bins == NumericBins(edges=(1.0, 2.0, 7.0, 8.0), counts=(0, 1, 2, 1, 0), missing=0)
    assert labels(bins)[0] == "below 1"


def test_a_heavy_value_does_not_repeat_an_edge() -> None:
    """Nine zeros in ten make one bin, not nine empty ones."""
    values = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    bins = _made(values, Kind.NUMBER)
    assert isinstance(bins, NumericBins)
    assert bins.edges[0] == 0.0
    assert reference_counts(bins).sum() == 1000


def test_quantile_bins_hold_about_equal_shares() -> None:
    """Ten bins of a continuous column hold a tenth each."""
    values = np.random.default_rng(1).normal(size=10_000)
    counts = reference_counts(_made(values, Kind.NUMBER))[1:-2]
    assert len(counts) == 10
    assert counts.min() > 950


@pytest.mark.parametrize("dtype", [np.bool_, np.float64])
def test_booleans_have_one_name_however_they_are_kept(dtype: type) -> None:
    """True as bool and as 1.0 (nullable) is the category ``true``."""
    bins = _made([1, 0, 1], Kind.BOOLEAN, dtype)
    assert bins == CategoricalBins(categories=("true", "false"), counts=(2, 1), other=0, missing=0)
    assert count(bins, np.array([1.0, np.nan])).tolist() == [1, 0, 0, 1]
    assert count(bins, np.array([True, False])).tolist() == [1, 1, 0, 0]
    assert count(bins, np.array([True, None], dtype=object)).tolist() == [1, 0, 0, 1]


def test_classes_can_be_named_in_advance() -> None:
    """A target's integers are counted as its classes, in the order given."""
    bins = make_bins(np.array([1.0, 0.0, np.nan]), Kind.INTEGER, categories=("0", "1"))
    assert bins == CategoricalBins(categories=("0", "1"), counts=(1, 1), other=0, missing=1)
    assert count(bins, np.array([1, 2], dtype=np.int64)).tolist() == [0, 1, 1, 0]


def test_times_are_counted_in_seconds() -> None:
    """A time is a number since 1970, and NaT is missing."""
    times = np.array(["1970-01-01", "1970-01-02", "NaT"], dtype="datetime64[us]")
    bins = make_bins(times, Kind.TIMESTAMP)
    assert isinstance(bins, NumericBins)
    assert bins.edges[:2] == (0.0, 86400.0)
    assert bins.missing == 1


@pytest.mark.parametrize(
    ("values", "kind"),
    [([], Kind.NUMBER), ([np.nan, np.inf], Kind.NUMBER), ([], Kind.STRING), ([None], Kind.STRING)],
)
def test_nothing_to_count_makes_no_bins(values: list[object], kind: Kind) -> None:
    """An empty column has no reference."""
    dtype = object if kind is Kind.STRING else np.float64
    assert make_bins(np.array(values, dtype=dtype), kind) is None


def test_an_empty_window_counts_nothing() -> None:
    """No rows make zeros, not an error."""
    assert count(_made([1.0, 2.0], Kind.NUMBER), np.array([])).sum() == 0
    assert count(_made(["a"], Kind.STRING, object), np.array([], dtype=object)).sum() == 0
