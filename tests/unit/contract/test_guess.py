"""Guesses say what a table shows, and otherwise nothing."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from shipway.contract.guess import (
    guess_id,
    guess_target,
    guess_task,
    guess_time,
    leaks,
    why_task,
)
from shipway.domain.metrics import Task


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"a": [1, 2, 3], "Target": [1, 2, 3]}, "Target"),
        ({"is_fraud": [0, 1, 0], "b": [1, 2, 3]}, "is_fraud"),
        ({"late": [0, 1, 0], "b": [1, 2, 3]}, "late"),
        ({"a": [1, 2, 3], "b": [True, False, None]}, "b"),
        ({"a": [1, 2, 3], "b": [1.5, 2.5, 3.5]}, None),
    ],
)
def test_a_target_is_known_by_its_name_or_by_two_values_at_the_end(
    columns: dict[str, list[object]], expected: str | None
) -> None:
    """The usual names first; else nothing, rather than any column."""
    assert guess_target(pl.DataFrame(columns)) == expected


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([True, False, None] * 20, Task.BINARY),
        ([0, 1] * 20, Task.BINARY),
        ([0.0, 1.0, float("nan")] * 20, Task.BINARY),
        (["a", "b", "c"] * 20, Task.MULTICLASS),
        ([1, 2, 3] * 20, Task.MULTICLASS),
        (list(range(60)), Task.REGRESSION),
        ([0.5, 1.0, 1.5] * 20, Task.REGRESSION),
    ],
)
def test_the_task_follows_from_the_targets_values(values: list[object], task: Task) -> None:
    """And the reason can be told."""
    table = pl.DataFrame({"y": values}, strict=False)
    assert guess_task(table, "y") is task
    assert "'y' has" in why_task(table, "y")


def test_time_and_id_are_found_by_type_and_name() -> None:
    """An id must be there in every row and never repeat."""
    day = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
    table = pl.DataFrame(
        {
            "user_id": [1, 1, 2],
            "flight_id": [7, 8, 9],
            "loaded": [day, day, day],
            "scheduled_departure": [day, day + dt.timedelta(1), day],
        }
    )
    assert guess_time(table) == "scheduled_departure"
    assert guess_id(table) == "flight_id"
    assert guess_time(table.select("user_id")) is None
    assert guess_id(table.select("user_id")) is None


def test_a_column_that_knows_the_target_is_told() -> None:
    """The arrival delay gives the lateness away; noise, ids and the hour do not."""
    random = np.random.default_rng(3)
    delay = random.normal(0, 20, 5000)
    table = pl.DataFrame(
        {
            "arr_delay": delay,
            "hour": random.integers(0, 24, 5000),
            "noise": random.normal(size=5000),
            "row": [f"r{i}" for i in range(5000)],
            "cause": np.where(delay > 15, "weather", "none"),
            "late": delay > 15,
        }
    )
    told = leaks(table, "late")
    assert len(told) == 2
    assert told[0].startswith("'cause' alone explains 100%")
    assert "'arr_delay'" in told[1]
    assert leaks(table, "nothing") == []
    assert any("'arr_delay'" in line for line in leaks(table.with_columns(y=delay * 2), "y"))
