"""From what a model answers to what is decided: scores and labels, online and offline alike.

The gate, batch scoring and the server all decide with this rule, so that a threshold means the
same row by row everywhere. It checks that the model's answer *is* an answer (shape, finite,
probabilities within [0, 1]); what to do about a bad row is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import ModelSpec
from shipway.domain.text import text_of
from shipway.errors import ModelMismatch, PredictionFailed
from shipway.runtimes.port import Columns, Model

_SLACK = 1e-6  # a float32 softmax may answer 1.0000001


@dataclass(frozen=True, slots=True)
class Decided:
    """Scores and labels of n rows.

    ``scores`` is float64: (n,) the probability of the positive class in binary tasks, (n, k) the
    probabilities in the order of the classes in multiclass ones, (n,) the value in regression.
    ``labels`` is (n,): the target's own values (bool, int64, float64, or object for strings).
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class DecisionRule:
    """How one model's raw output becomes a decision; make it with :meth:`of`.

    ``positive`` is the index of the positive class, or None outside of binary tasks.
    """

    task: Task
    values: NDArray[np.generic]
    positive: int | None
    threshold: float

    @classmethod
    def of(
        cls, spec: ModelSpec, *, threshold: float | None = None, positive: str | None = None
    ) -> DecisionRule:
        """The rule for *spec*; *positive* is the text form of a class, the last one by default.

        Raises :class:`~shipway.errors.ModelMismatch` if the classes do not fit the task or
        *positive* is none of them.
        """
        index = _positive_index(spec, positive) if spec.task is Task.BINARY else None
        if spec.task is Task.MULTICLASS and len(spec.classes) < 2:
            raise _wrong_classes(spec)
        value = 0.5 if threshold is None else threshold
        return cls(spec.task, _as_array(spec.classes), index, value)

    @property
    def width(self) -> int | None:
        """How many probabilities a row has; None for regression."""
        return None if self.task is Task.REGRESSION else len(self.values)

    def check_shape(self, raw: NDArray[np.float64], rows: int) -> None:
        """Raise PredictionFailed unless *raw* has the shape that *rows* rows must answer with."""
        expected = (rows,) if self.width is None else (rows, self.width)
        if raw.shape != expected:
            raise PredictionFailed(
                f"the model answered an array of shape {raw.shape} where {expected} is due",
                next_step="pack the model again; its outputs are not what its manifest says",
            )

    def bad_rows(self, raw: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Which rows of a well-shaped *raw* are no prediction (NaN, infinite, no probability).

        None when all are good, which is told at the price of one or two reductions.
        """
        if self.width is None:
            good: NDArray[np.bool_] = np.isfinite(raw)
        elif raw.size == 0 or (raw.min() >= -_SLACK and raw.max() <= 1 + _SLACK):
            return None  # NaN makes both comparisons false
        else:
            good = np.logical_and.reduce((raw >= -_SLACK) & (raw <= 1 + _SLACK), axis=1)
        return None if good.all() else ~good

    def few(self, raw: NDArray[np.float64]) -> tuple[list[float], list[Scalar]] | None:
        """Scores and labels of a few rows of a binary model; None if a row is no prediction.

        The same as :meth:`bad_rows` and :meth:`decide` without numpy, which pays by the call.
        """
        no, yes = self.values.tolist()
        if self.positive == 0:
            no, yes = yes, no
        least, most, threshold = -_SLACK, 1 + _SLACK, self.threshold
        scores: list[float] = []
        labels: list[Scalar] = []
        for pair in raw.tolist():
            first, second = pair
            if not (least <= first <= most and least <= second <= most):
                return None
            score = pair[self.positive]
            scores.append(score)
            labels.append(yes if score >= threshold else no)
        return scores, labels

    def decide(self, raw: NDArray[np.float64]) -> Decided:
        """Scores and labels of *raw*: (n, k) class probabilities, or (n,) values in regression."""
        if self.positive is not None:
            scores = raw[:, self.positive]
            decided = (scores >= self.threshold).astype(np.intp)
            index = decided if self.positive == 1 else 1 - decided
            return Decided(scores, self.values[index])
        if self.task is Task.REGRESSION:
            return Decided(raw, raw)
        return Decided(raw, self.values[raw.argmax(axis=1)])


def predict_columns(model: Model, rule: DecisionRule, columns: Columns) -> Decided:
    """What *model* says and *rule* decides about *columns*, for the gate and batch scoring.

    Raises :class:`~shipway.errors.PredictionFailed` if the model does, or if any row of its
    answer is no prediction; the message counts them and names the first.
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    raw = np.asarray(model.predict(columns), dtype=np.float64)
    rule.check_shape(raw, rows)
    bad = rule.bad_rows(raw)
    if bad is not None:
        raise not_a_prediction(raw, bad)
    return rule.decide(raw)


def not_a_prediction(raw: NDArray[np.float64], bad: NDArray[np.bool_]) -> PredictionFailed:
    """The error for the rows *bad* of *raw*."""
    rows = np.flatnonzero(bad)
    first = int(rows[0])
    return PredictionFailed(
        f"the model answered {np.array2string(raw[first])} for row {first}, which is no "
        f"prediction ({len(rows)} of {len(raw)} rows are like that)",
        next_step="look at that row's values; if they are in order the model is at fault",
    )


def _positive_index(spec: ModelSpec, positive: str | None) -> int:
    if len(spec.classes) != 2:
        raise _wrong_classes(spec)
    texts = [text_of(value) for value in spec.classes]
    if positive is None:
        return _last_of(spec.classes)
    if positive in texts:
        return texts.index(positive)
    raise ModelMismatch(
        f"the positive class {positive!r} is none of the model's classes, {' and '.join(texts)}",
        next_step=f"set positive = {texts[_last_of(spec.classes)]!r} under [model] in shipway.toml",
    )


def _last_of(classes: tuple[Scalar, ...]) -> int:
    numbers = [value for value in classes if isinstance(value, bool | int | float)]
    if len(numbers) == len(classes):
        return numbers.index(max(numbers))
    texts = [text_of(value) for value in classes]
    return texts.index(max(texts))


def _wrong_classes(spec: ModelSpec) -> ModelMismatch:
    return ModelMismatch(
        f"a {spec.task} model cannot have {len(spec.classes)} classes",
        next_step="pack the model again with the task that fits its target",
    )


def _as_array(classes: tuple[Scalar, ...]) -> NDArray[np.generic]:
    """*classes* as an array whose ``tolist`` gives the same Python values back."""
    types = {type(value) for value in classes}
    for python, dtype in ((bool, np.bool_), (int, np.int64), (float, np.float64)):
        if types == {python}:
            return np.array(classes, dtype=dtype)
    values = np.empty(len(classes), dtype=object)
    values[:] = classes
    return values
