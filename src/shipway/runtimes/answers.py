"""Feeding a model and checking what it answers: the part that every runtime shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipway.domain.model import Kind, ModelSpec
from shipway.errors import PredictionFailed, ShipwayError
from shipway.runtimes.port import Columns

_PROBABILITY_SLACK = 1e-6
_SUM_SLACK = 1e-3


@contextmanager
def foreign(spec: ModelSpec) -> Iterator[None]:
    """Turn whatever the model's library raises into one :class:`PredictionFailed`."""
    try:
        yield
    except ShipwayError:
        raise
    except Exception as error:  # a user's model may raise anything
        raise failed(spec, error) from error


def failed(spec: ModelSpec, error: Exception) -> PredictionFailed:
    """The :class:`PredictionFailed` for *error*, which the model's library raised."""
    reason = str(error).strip().splitlines()
    return PredictionFailed(
        f"the {spec.format} model raised {type(error).__name__}: {reason[0] if reason else ''}",
        next_step="compare the request with the contract; the same rows fail in training code",
    )


def rows_of(spec: ModelSpec, columns: Columns) -> int:
    """How many rows *columns* have, all of the inputs of *spec* being there and equally long."""
    missing = [one.name for one in spec.inputs if one.name not in columns]
    if missing:
        raise PredictionFailed(
            f"the model was asked without its columns {', '.join(missing)}",
            next_step="send every feature of the contract",
        )
    lengths = {len(columns[one.name]) for one in spec.inputs}
    if len(lengths) != 1:
        raise PredictionFailed(
            f"the columns are of different lengths: {sorted(lengths)}",
            next_step="send one value a row in every column",
        )
    rows = lengths.pop()
    if rows == 0:
        raise PredictionFailed("the model was asked about no rows", next_step="send one at least")
    return rows


def matrix(spec: ModelSpec, columns: Columns, rows: int) -> NDArray[np.float64]:
    """The numeric inputs as one matrix of shape (rows, inputs), missing ones NaN."""
    out = np.empty((rows, len(spec.inputs)), dtype=np.float64)
    for position, one in enumerate(spec.inputs):
        out[:, position] = columns[one.name]
    return out


def codes(values: NDArray[Any], categories: tuple[Any, ...]) -> NDArray[np.float64]:
    """The position of each value in *categories*, NaN for one that is missing or not there."""
    position = {category: float(index) for index, category in enumerate(categories)}
    return np.array([position.get(value, np.nan) for value in values.tolist()], dtype=np.float64)


def checked(spec: ModelSpec, raw: Any, rows: int) -> NDArray[np.float64]:
    """The answer of a model in the port's form, or :class:`PredictionFailed`.

    Binary models may answer with one column, the probability of the last class. NaN passes: whose
    row it is, and what becomes of the others, is for the caller to say.
    """
    answer = np.asarray(raw, dtype=np.float64)
    width = len(spec.classes)
    if width == 0:
        if answer.size != rows:
            raise _nonsense(f"an array of shape {answer.shape} for {rows} rows")
        answer = answer.reshape(rows)
    elif width == 2 and answer.size == rows:
        positive = answer.reshape(rows)
        answer = np.column_stack((1.0 - positive, positive))
    elif answer.shape != (rows, width):
        raise _nonsense(f"an array of shape {answer.shape} for {rows} rows of {width} classes")
    return answer


def check_probabilities(spec: ModelSpec, answer: NDArray[np.float64]) -> str:
    """Why *answer* cannot be class probabilities, or an empty text."""
    if not spec.classes:
        return ""
    if not np.isfinite(answer).all():
        return "some of its answers are NaN or infinite"
    low, high = float(answer.min()), float(answer.max())
    if low < -_PROBABILITY_SLACK or high > 1 + _PROBABILITY_SLACK:
        return f"its answers reach from {low:.4g} to {high:.4g}"
    sums = answer.sum(axis=1)
    if float(np.abs(sums - 1).max()) > _SUM_SLACK:
        return f"its answers add up to between {sums.min():.4g} and {sums.max():.4g} in a row"
    return ""


def times(spec: ModelSpec) -> list[str]:
    """The inputs that are dates or timestamps."""
    return [one.name for one in spec.inputs if one.kind in (Kind.DATE, Kind.TIMESTAMP)]


def strings(spec: ModelSpec) -> list[str]:
    """The inputs that are strings."""
    return [one.name for one in spec.inputs if one.kind is Kind.STRING]


def _nonsense(what: str) -> PredictionFailed:
    return PredictionFailed(
        f"the model answered with {what}, which is no prediction",
        next_step="pack the model again; its outputs are not what its manifest says",
    )
