"""Predictions beside the truth: what every figure about a model's quality is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.objectives import Costs, Objectives
from shipway.domain.text import text_of
from shipway.errors import DataError, NotEnoughData, Problem

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Labels = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """``n`` labelled predictions of one model.

    ``truth`` and ``decided`` have shape (n,): indices into ``classes`` (int64), or values
    (float64) in regression. ``scores`` has shape (n,) for a binary model, the probability of
    ``classes[positive]``, shape (n, len(classes)) for a multiclass one, and is None where there
    are none (regression, or a rule that only decides). ``blocks`` names for each row the block
    (day, user) that is resampled whole, None when rows are independent; ``slices`` holds for
    each slicing column the value of each row. Raises :class:`~shipway.errors.DataError` with
    every fault, NaN and infinite scores among them.
    """

    task: Task
    truth: NDArray[Any]
    decided: NDArray[Any]
    scores: FloatArray | None = None
    classes: tuple[Scalar, ...] = ()
    positive: int = 1
    costs: Costs | None = None
    threshold: float | None = None
    blocks: Labels | None = None
    slices: Mapping[str, Labels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = _faults(self)
        if problems:
            raise DataError(
                f"the {len(self.truth)} labelled predictions cannot be measured",
                next_step="mend the rows named; a model that answers NaN must not be served",
                problems=problems,
            )

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.truth)

    @property
    def block_count(self) -> int | None:
        """How many blocks the rows come in, None when they are independent."""
        return None if self.blocks is None else len(np.unique(self.blocks))

    def where(self, rows: NDArray[np.bool_]) -> Outcomes:
        """The outcomes of the rows where *rows* (n,) is true."""
        return replace(
            self,
            truth=self.truth[rows],
            decided=self.decided[rows],
            scores=None if self.scores is None else self.scores[rows],
            blocks=None if self.blocks is None else self.blocks[rows],
            slices={name: values[rows] for name, values in self.slices.items()},
        )

    def positives(self) -> NDArray[np.bool_]:
        """Which rows (n,) are truly of the positive class."""
        return np.asarray(self.truth == self.positive, dtype=np.bool_)

    def probabilities(self) -> FloatArray:
        """The scores; raises :class:`~shipway.errors.NotEnoughData` where there are none."""
        if self.scores is None:
            raise NotEnoughData(
                "these predictions carry decisions only, no scores",
                next_step="measure decisions (accuracy, cost), or keep the model's probabilities",
            )
        return self.scores


def classified(
    objectives: Objectives,
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    classes: Sequence[Scalar],
    blocks: Labels | None = None,
    slices: Mapping[str, Labels] | None = None,
    threshold: float | None = None,
) -> Outcomes:
    """The outcomes of a classifier from its probabilities and the target's own values.

    *scores* has shape (n, len(classes)) in the order of *classes*, or (n,) for the positive class
    of a binary model. *truth* (n,) is matched with *classes* by their text form. A binary model
    decides for the positive class from *threshold* on (by default the objectives' own), a
    multiclass one for the largest score. Raises :class:`~shipway.errors.DataError` on a truth
    that is no class.
    """
    probabilities = np.asarray(scores, dtype=np.float64)
    truths = class_indices(truth, classes)
    common: dict[str, Any] = {
        "task": objectives.task,
        "truth": truths,
        "classes": tuple(classes),
        "costs": objectives.costs,
        "blocks": blocks,
        "slices": dict(slices or {}),
    }
    if objectives.task is Task.MULTICLASS:
        decided = probabilities.argmax(axis=1).astype(np.int64)
        return Outcomes(scores=probabilities, decided=decided, **common)
    positive = positive_index(classes, objectives.positive)
    if probabilities.ndim == 2:
        probabilities = np.ascontiguousarray(probabilities[:, positive])
    cut = objectives.decision_threshold() if threshold is None else threshold
    decided = np.where(probabilities >= cut, positive, 1 - positive).astype(np.int64)
    return Outcomes(
        scores=probabilities, decided=decided, positive=positive, threshold=cut, **common
    )


def regressed(
    truth: ArrayLike,
    values: ArrayLike,
    *,
    blocks: Labels | None = None,
    slices: Mapping[str, Labels] | None = None,
) -> Outcomes:
    """The outcomes of a regression model: *values* (n,) predicted for *truth* (n,)."""
    return Outcomes(
        task=Task.REGRESSION,
        truth=np.asarray(truth, dtype=np.float64),
        decided=np.asarray(values, dtype=np.float64),
        blocks=blocks,
        slices=dict(slices or {}),
    )


def positive_index(classes: Sequence[Scalar], positive: str | None) -> int:
    """Where in *classes* the positive one stands: named by its text, or the last when sorted.

    >>> positive_index(("no", "yes"), None)
    1
    """
    texts = [text_of(value) for value in classes]
    if positive is None:
        ordered: list[Any] = sorted(classes, key=lambda value: (isinstance(value, str), value))
        return texts.index(text_of(ordered[-1]))
    if positive not in texts:
        raise DataError(
            f"the positive class {positive!r} is not a class of the model ({', '.join(texts)})",
            next_step="set [model] positive in shipway.toml to one of them",
        )
    return texts.index(positive)


def class_indices(values: ArrayLike, classes: Sequence[Scalar]) -> IntArray:
    """The index in *classes* of each of *values* (n,), matched by their text form."""
    position = {text_of(value): index for index, value in enumerate(classes)}
    array = np.asarray(values)
    unique, inverse = (
        np.unique(array, return_inverse=True) if array.dtype != object else (_unique_objects(array))
    )
    texts = [text_of(value) for value in unique.tolist()]
    unknown = [text for text in texts if text not in position]
    if unknown:
        raise DataError(
            f"the truth holds {', '.join(map(repr, unknown[:5]))}, which the model does not know",
            next_step=f"its classes are {', '.join(position)}; drop or relabel the other rows",
        )
    table = np.array([position[text] for text in texts], dtype=np.int64)
    return table[inverse] if len(table) else np.zeros(0, dtype=np.int64)


def codes_of(labels: Labels) -> tuple[IntArray, list[str]]:
    """*labels* (n,) as codes 0..k-1 and the text of each code, in the order of the texts."""
    if labels.dtype == object:
        unique, inverse = _unique_objects(labels)
    else:
        unique, inverse = np.unique(labels, return_inverse=True)
    texts = np.array([text_of(value) for value in unique.tolist()], dtype=np.str_)
    names, merged = np.unique(texts, return_inverse=True)
    return merged.astype(np.int64)[inverse], [str(name) for name in names]


def time_blocks(times: NDArray[np.datetime64], length: str) -> IntArray | None:
    """The UTC ``hour``, ``day`` or ``week`` (from Monday) of each time; None for ``row``.

    The numbers count periods since 1970, so equal numbers in two tables mean the same period.
    """
    if length == "row":
        return None
    if length == "hour":
        return times.astype("datetime64[h]").astype(np.int64)
    days = times.astype("datetime64[D]").astype(np.int64)
    if length == "day":
        return days
    if length == "week":
        return (days + 3) // 7  # 1970-01-01 was a Thursday
    raise DataError(
        f"{length!r} is not a length of time to make blocks of",
        next_step="use hour, day, week or row, or give the values of a column as blocks",
    )


def _unique_objects(values: Labels) -> tuple[Labels, IntArray]:
    """Like ``np.unique`` with the inverse, for objects that may not be comparable."""
    seen: dict[Any, int] = {}
    inverse = np.fromiter(
        (seen.setdefault(value, len(seen)) for value in values.tolist()), np.int64, len(values)
    )
    unique = np.empty(len(seen), dtype=object)
    unique[:] = list(seen)
    return unique, inverse


def _faults(outcomes: Outcomes) -> list[Problem]:
    problems = []
    n = len(outcomes.truth)
    shaped: dict[str, Labels | None] = {
        "decided": outcomes.decided,
        "scores": outcomes.scores,
        "blocks": outcomes.blocks,
        **{f"slice {name}": values for name, values in outcomes.slices.items()},
    }
    for name, values in shaped.items():
        if values is not None and len(values) != n:
            problems.append(Problem("data.length", f"{name} has {len(values)} rows, the truth {n}"))
    numbers: dict[str, Labels | None] = {"scores": outcomes.scores}
    if outcomes.task is Task.REGRESSION:
        numbers |= {"truth": outcomes.truth, "decided": outcomes.decided}
    for name, values in numbers.items():
        if values is None or not len(values):
            continue
        bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if bad.any():
            first = int(bad.argmax())
            problems.append(
                Problem(
                    "data.not-finite",
                    f"{int(bad.sum())} of {len(values)} {name} are NaN or infinite",
                    where=f"row {first}",
                )
            )
    scores = outcomes.scores
    outside = scores is not None and scores.size and outcomes.task is not Task.REGRESSION
    if scores is not None and outside and (scores.min() < -1e-6 or scores.max() > 1 + 1e-6):
        problems.append(
            Problem(
                "data.not-a-probability",
                f"scores reach from {scores.min():g} to {scores.max():g}, not 0 to 1",
            )
        )
    return problems
