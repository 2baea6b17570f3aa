"""How predictions and truths become outcomes."""

from __future__ import annotations

import numpy as np
import pytest

from shipway.domain.metrics import Task
from shipway.domain.objectives import Costs, Objectives
from shipway.errors import DataError
from shipway.evidence.outcomes import (
    class_indices,
    classified,
    codes_of,
    positive_index,
    regressed,
    time_blocks,
)

BINARY = Objectives(
    task=Task.BINARY, objectives=(), costs=Costs(false_positive=1, false_negative=3)
)


def test_threshold_follows_costs() -> None:
    """A binary model decides from the threshold that the costs give, ties for the positive."""
    scores = np.array([0.24, 0.25, 0.26])
    made = classified(BINARY, [0, 1, 1], scores, classes=(0, 1))
    assert made.threshold == 0.25
    assert made.decided.tolist() == [0, 1, 1]


def test_two_columns_give_positive_column() -> None:
    """Probabilities of both classes and of the positive one alone give the same outcomes."""
    pair = np.array([[0.9, 0.1], [0.2, 0.8]])
    named = Objectives(task=Task.BINARY, objectives=(), positive="no")
    made = classified(named, ["no", "yes"], pair, classes=("no", "yes"))
    assert made.scores is not None
    assert made.scores.tolist() == [0.9, 0.2]
    assert made.decided.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([0, 1, 1], ("0", "1")),
        ([0.0, 1.0, 1.0], (0, 1)),
        ([False, True, True], (False, True)),
        (["a", "b", "b"], ("a", "b")),
        (np.array(["a", "b", "b"], dtype=object), ("a", "b")),
    ],
)
def test_truth_matches_classes_by_text(values: object, classes: tuple[str, ...]) -> None:
    """A truth is found among the classes whatever type the table gave it."""
    assert class_indices(values, classes).tolist() == [0, 1, 1]  # type: ignore[arg-type]


def test_unknown_truth_is_named() -> None:
    """A truth that is no class is an error that names it and the classes."""
    with pytest.raises(DataError, match="'maybe'") as caught:
        class_indices(["yes", "maybe"], ("no", "yes"))
    assert "no, yes" in str(caught.value)


def test_unknown_positive_is_named() -> None:
    """A positive class that the model does not have is an error that lists what it has."""
    with pytest.raises(DataError, match="'ja'"):
        positive_index(("no", "yes"), "ja")


def test_every_fault_is_reported() -> None:
    """NaN scores and a slice of the wrong length are reported together, with the row."""
    with pytest.raises(DataError) as caught:
        classified(
            BINARY,
            [0, 1],
            np.array([0.5, np.nan]),
            classes=(0, 1),
            slices={"carrier": np.array(["AA"])},
        )
    assert {problem.code for problem in caught.value.problems} == {
        "data.length",
        "data.not-finite",
    }
    assert any(problem.where == "row 1" for problem in caught.value.problems)


def test_scores_must_be_probabilities() -> None:
    """A raw margin instead of a probability is refused."""
    with pytest.raises(DataError, match="not 0 to 1"):
        classified(BINARY, [0, 1], np.array([-3.0, 2.0]), classes=(0, 1))


def test_regression_refuses_infinity() -> None:
    """An infinite predicted value is refused."""
    with pytest.raises(DataError, match="infinite"):
        regressed([1.0, 2.0], [1.0, np.inf])


def test_multiclass_takes_largest() -> None:
    """A multiclass model decides for the class with the largest score."""
    objectives = Objectives(task=Task.MULTICLASS, objectives=())
    scores = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    made = classified(objectives, ["b", "c"], scores, classes=("a", "b", "c"))
    assert made.decided.tolist() == [1, 0]


def test_blocks_of_time_are_utc() -> None:
    """Days end at midnight UTC and weeks begin on Monday."""
    times = np.array(
        ["2013-04-07T23:59:59", "2013-04-08T00:00:00", "2013-04-14T23:59:59"], "datetime64[us]"
    )
    day, week = time_blocks(times, "day"), time_blocks(times, "week")
    assert day is not None
    assert week is not None
    assert np.diff(day).tolist() == [1, 6]
    assert np.diff(week).tolist() == [1, 0]
    assert time_blocks(times, "row") is None
    with pytest.raises(DataError, match="fortnight"):
        time_blocks(times, "fortnight")


def test_codes_merge_equal_texts() -> None:
    """Slices are told apart by text, and what is missing is a slice of its own."""
    codes, names = codes_of(np.array(["JFK", None, "EWR", float("nan")], dtype=object))
    assert names == ["EWR", "JFK", "missing"]
    assert codes.tolist() == [1, 2, 0, 2]
