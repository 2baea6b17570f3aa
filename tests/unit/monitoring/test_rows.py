"""Events become one row a prediction."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from shipway.domain.events import PredictionEvent
from shipway.monitoring.rows import as_text, series, to_frame, together


def event(request_id: str = "r", rows: int = 1, **changes: Any) -> PredictionEvent:
    """An answered request of *rows* rows."""
    given: dict[str, Any] = {
        "request_id": request_id,
        "received_at_ns": 1_364_774_400_000_000_000,
        "endpoint": "flight-delay",
        "model": "flight-delay",
        "version": 1,
        "caller": "key-1",
        "rows": rows,
        "latency_us": 250,
        "columns": {"distance": [float(row) for row in range(rows)]},
        "scores": [0.25] * rows,
        "labels": [0] * rows,
    }
    return PredictionEvent(**{**given, **changes})


def test_a_request_becomes_one_row_a_prediction() -> None:
    """Row i of request R has the prediction id R:i and the i-th value of every column."""
    frame = to_frame([event("a", 2), event("b")])
    assert frame["prediction_id"].to_list() == ["a:0", "a:1", "b:0"]
    assert frame["input.distance"].to_list() == [0.0, 1.0, 0.0]
    assert frame["score"].to_list() == [0.25] * 3


def test_a_refused_request_is_one_row_without_a_prediction_id() -> None:
    """It counts once, says why, and is nobody's prediction."""
    refused = event("b", 3, status=422, code="contract.violated", scores=[], labels=[], columns={})
    row = to_frame([event("a"), refused]).row(1, named=True)
    assert (row["prediction_id"], row["row"], row["rows"]) == (None, None, 3)
    assert (row["status"], row["code"]) == (422, "contract.violated")


def test_the_event_time_is_the_time_column_where_it_can_be_read() -> None:
    """Anything else, missing or no time at all, counts at the time of receipt."""
    times = {"departs": ["2013-04-02T03:00:00-04:00", None, "soon"]}
    frame = to_frame([event(rows=3, columns=times)], {"flight-delay": "departs"})
    received = datetime(2013, 4, 1, tzinfo=UTC)
    assert frame["event_time"].to_list() == [
        datetime(2013, 4, 2, 7, tzinfo=UTC),
        received,
        received,
    ]


def test_probabilities_of_several_classes_are_kept_as_lists() -> None:
    """A multiclass answer has probabilities and no score."""
    frame = to_frame([event(scores=[[0.2, 0.3, 0.5]]), event()])
    assert frame["probabilities"].to_list() == [[0.2, 0.3, 0.5], None]
    assert frame["score"].to_list() == [None, 0.25]


def test_versions_with_other_columns_lie_under_each_other() -> None:
    """A column that one version lacks is null in its rows; the wider type holds."""
    old = to_frame([event(columns={"x": [1]})])
    new = to_frame([event(columns={"x": [1.5], "y": ["EWR"]})])
    both = together([old, new])
    assert both["input.x"].to_list() == [1.0, 1.5]
    assert both["input.y"].to_list() == [None, "EWR"]


def test_a_column_that_turned_from_number_to_text_becomes_text() -> None:
    """One text form for both, the one in which categories are compared."""
    both = together([to_frame([event(columns={"x": [v]})]) for v in (3.0, "EWR", True)])
    assert both["input.x"].to_list() == ["3", "EWR", "true"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None, 2], [1, None, 2]),
        ([1, 2.5], [1.0, 2.5]),
        ([2**70, 1], [float(2**70), 1.0]),
        (["a", 2.0, None, True], ["a", "2", None, "true"]),
        ([None, None], [None, None]),
        ([], []),
    ],
)
def test_any_list_of_scalars_becomes_a_column(values: list[Any], expected: list[Any]) -> None:
    """Of one type if it has one, else numbers, else text."""
    assert series("x", values).to_list() == expected


def test_text_form_of_a_column_keeps_missing_values_missing() -> None:
    """NaN and null are no category."""
    assert as_text(pl.Series([1.0, 0.5, None, float("nan")])).to_list() == ["1", "0.5", None, None]


def test_no_events_are_an_empty_table() -> None:
    """With the columns that any table has."""
    assert to_frame([]).height == 0
    assert together([to_frame([]), to_frame([event()])]).height == 1


def test_a_matrix_is_read_like_columns() -> None:
    """A request that came as a matrix gives the same rows as one that came by column."""
    numbers = [1.5, float("nan"), -0.0, 4.25]
    names = ("distance", "wind")
    packed = event("a", 2, columns={}, names=names, matrix=array("d", numbers).tobytes())
    apart = event("a", 2, columns={"distance": [1.5, -0.0], "wind": [None, 4.25]})
    assert to_frame([packed]).equals(to_frame([apart]))
    assert packed.by_column() == apart.columns


def test_matrices_are_read_together_like_one_by_one() -> None:
    """Refused requests, missing values and a column without any value are the same either way."""
    nan = float("nan")
    names = ("distance", "wind", "gust")
    first = array("d", [1.5, nan, nan, -0.0, 4.25, nan]).tobytes()
    second = array("d", [3.0, 2.0, nan]).tobytes()
    refused = event("r", 0, columns={}, code="contract_violation", scores=[], labels=[])
    packed = [
        event("a", 2, columns={}, names=names, matrix=first),
        refused,
        event("b", 1, columns={}, names=names, matrix=second),
    ]
    apart = [
        event("a", 2, columns={"distance": [1.5, -0.0], "wind": [None, 4.25], "gust": [None] * 2}),
        refused,
        event("b", 1, columns={"distance": [3.0], "wind": [2.0], "gust": [None]}),
    ]
    assert to_frame(packed).equals(to_frame(apart))
    assert to_frame(packed).schema == to_frame(apart).schema
    times = {"m": "distance"}
    assert to_frame(packed, times).equals(to_frame(apart, times))
