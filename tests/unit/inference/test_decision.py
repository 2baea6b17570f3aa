"""The decision rule: one for the gate, batch scoring and the server."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_rig import NONSENSE, SPEC, FakeModel

from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import ModelSpec
from shipway.errors import ModelMismatch, PredictionFailed
from shipway.inference.decision import DecisionRule, predict_columns


def spec(task: Task, *classes: Scalar) -> ModelSpec:
    return ModelSpec(format="fake", task=task, inputs=(), classes=classes, main_file="m")


@pytest.mark.parametrize(
    ("classes", "positive", "index"),
    [
        ((0, 1), None, 1),
        ((1, 0), None, 0),
        ((False, True), None, 1),
        (("late", "early"), None, 0),
        (("b", "a"), "a", 1),
        ((9, 10), None, 1),
        ((0.0, 1.0), "0", 0),
        ((False, True), "false", 0),
    ],
)
def test_positive_class(classes: tuple[Scalar, ...], positive: str | None, index: int) -> None:
    """The positive class is the one named by its text form, else the last in sorted order."""
    assert DecisionRule.of(spec(Task.BINARY, *classes), positive=positive).positive == index


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
    st.floats(0, 1),
    st.sampled_from(["yes", "no"]),
)
def test_binary_threshold(scores: list[float], threshold: float, positive: str) -> None:
    """A row is positive exactly when its score reaches the threshold, whichever column it is."""
    rule = DecisionRule.of(spec(Task.BINARY, "no", "yes"), threshold=threshold, positive=positive)
    columns = [1 - np.array(scores), np.array(scores)]
    raw = np.column_stack(columns if positive == "yes" else columns[::-1])
    decided = rule.decide(raw)
    other = "no" if positive == "yes" else "yes"
    assert decided.scores.tolist() == scores
    assert decided.labels.tolist() == [positive if s >= threshold else other for s in scores]


@pytest.mark.parametrize("classes", [(3, 5, 7), ("a", "b", "c"), (0.5, 1.5, 2.5), (1, "x", 2.5)])
def test_multiclass_argmax(classes: tuple[Scalar, ...]) -> None:
    """A multiclass label is the class of the greatest probability, as the value that it is."""
    rule = DecisionRule.of(spec(Task.MULTICLASS, *classes))
    labels = rule.decide(np.array([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]])).labels.tolist()
    assert labels == [classes[1], classes[0]]
    assert [type(one) for one in labels] == [type(classes[1]), type(classes[0])]


def test_regression_is_its_value() -> None:
    """In regression score and label are the value."""
    decided = DecisionRule.of(spec(Task.REGRESSION)).decide(np.array([1.5, -2.0]))
    assert decided.scores.tolist() == decided.labels.tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("task", "classes", "positive"),
    [
        (Task.BINARY, (0, 1, 2), None),
        (Task.BINARY, (1,), None),
        (Task.MULTICLASS, (1,), None),
        (Task.BINARY, (0, 1), "2"),
    ],
)
def test_classes_must_fit(task: Task, classes: tuple[Scalar, ...], positive: str | None) -> None:
    """Classes that do not fit the task, or a positive class that is none of them, are refused."""
    with pytest.raises(ModelMismatch):
        DecisionRule.of(spec(task, *classes), positive=positive)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.1, 1.1])
def test_no_probability(value: float) -> None:
    """A row that holds NaN, an infinity or a number outside of [0, 1] is no prediction."""
    rule = DecisionRule.of(spec(Task.BINARY, 0, 1))
    bad = rule.bad_rows(np.array([[0.5, 0.5], [0.5, value]]))
    assert bad is not None
    assert bad.tolist() == [False, True]


def test_float32_rounding_is_forgiven() -> None:
    """A probability of a float32 hair above one is still a probability."""
    rule = DecisionRule.of(spec(Task.BINARY, 0, 1))
    assert rule.bad_rows(np.array([[-1e-7, 1.0000001]])) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_value(value: float) -> None:
    """A regression that answers NaN or an infinity answers nothing; a large number is one."""
    rule = DecisionRule.of(spec(Task.REGRESSION))
    bad = rule.bad_rows(np.array([1e308, value, -1e308]))
    assert bad is not None
    assert bad.tolist() == [False, True, False]


@pytest.mark.parametrize("shape", [(2,), (2, 3), (3, 2), (2, 2, 1)])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    """An answer of another shape than the manifest promises is an error, not a prediction."""
    with pytest.raises(PredictionFailed, match="shape"):
        DecisionRule.of(spec(Task.BINARY, 0, 1)).check_shape(np.zeros(shape), 2)


def test_columns_offline() -> None:
    """Offline, columns become scores and labels, and one bad row is named."""
    rule = DecisionRule.of(SPEC, threshold=0.5, positive="1")
    decided = predict_columns(FakeModel(), rule, {"distance": np.array([100.0, 900.0])})
    assert decided.labels.tolist() == [0, 1]
    with pytest.raises(PredictionFailed, match=r"row 1.*1 of 2"):
        predict_columns(FakeModel(), rule, {"distance": np.array([100.0, NONSENSE])})


PAIR = st.floats(-0.1, 1.1) | st.sampled_from([0.0, 0.5, 1.0, 1.0000001, float("nan")])


@given(
    st.lists(st.tuples(PAIR, PAIR), min_size=1, max_size=5),
    st.sampled_from(["0", "1"]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_few_rows_are_decided_like_many(
    pairs: list[tuple[float, float]], positive: str, threshold: float
) -> None:
    """The short way decides as the long one does, and leaves every bad row to it."""
    spec = ModelSpec(format="fake", task=Task.BINARY, inputs=(), classes=(0, 1), main_file="m")
    rule = DecisionRule.of(spec, threshold=threshold, positive=positive)
    raw = np.array(pairs, dtype=np.float64)
    few, decided = rule.few(raw), rule.decide(raw)
    assert (few is None) == (rule.bad_rows(raw) is not None)
    if few is not None:
        assert few == (decided.scores.tolist(), decided.labels.tolist())
