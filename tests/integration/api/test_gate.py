"""The gate on tables and models as people have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.integration.api.conftest import rows, text_of_delay

from shipway.domain.metrics import Task

if TYPE_CHECKING:
    from tests.integration.api.conftest import Make

BAD = (pl.col("delay") > 2.2).cast(pl.Int64)
EARLY, LATER = rows(seed=1), rows(since="2024-02-01", seed=2)


def judged(report: Any, bound: str) -> dict[str, Any]:
    """The judgement of *bound*."""
    (found,) = [one for one in report["judgements"] if one["bound"] == bound]
    return dict(found)


def test_a_target_of_nan_is_a_target_that_is_missing(make: Make) -> None:
    """Rows whose outcome is NaN are left out of training's summary and of the gate."""
    holes = pl.when(pl.int_range(pl.len()) % 10 == 0).then(float("nan")).otherwise("delay")
    project = make(Task.REGRESSION, EARLY.with_columns(y=holes), LATER.with_columns(y=holes))
    project.json("pack", "model.joblib", "--trust-pickle")
    report = project.json("gate")
    assert judged(report, "at_most")["measurement"]["n"] == LATER.height * 9 // 10


@pytest.mark.parametrize("form", ["date", "naive"])
def test_any_column_of_times_makes_blocks(make: Make, form: str) -> None:
    """Days may be told by dates, and by times without a zone, which are UTC."""
    at = pl.col("at").dt.date() if form == "date" else pl.col("at").dt.replace_time_zone(None)
    project = make(Task.BINARY, EARLY.with_columns(at, y=BAD), LATER.with_columns(at, y=BAD))
    project.json("pack", "model.joblib", "--trust-pickle")
    report = project.json("gate")
    assert judged(report, "at_least")["measurement"]["blocks"] == 8
    assert report["data"]["time_from"].startswith("2024-02-01")


def test_live_is_compared_in_the_candidates_words(make: Make) -> None:
    """When the positive class is another one than the live version's, the figures are not."""
    word = pl.when(pl.col("delay") > 2.2).then(pl.lit("bad")).otherwise(pl.lit("good"))
    early, later = EARLY.with_columns(y=word), LATER.with_columns(y=word)
    project = make(Task.BINARY, early, later, 'positive = "bad"')
    project.json("pack", "model.joblib", "--trust-pickle")
    project.json("gate")
    project.json("promote", "1")
    project = make(Task.BINARY, early, later, 'positive = "good"')
    project.json("pack", "model.joblib", "--trust-pickle")
    report = project.json("gate")
    assert report["live"] == 1
    difference = judged(report, "better_than")["measurement"]["value"]
    assert difference == pytest.approx(0.0, abs=1e-9)


def test_a_new_class_is_one_that_live_never_finds(make: Make) -> None:
    """A candidate that knows one class more is compared with a live version that does not."""
    two = text_of_delay("low", "low", "high")
    project = make(Task.MULTICLASS, EARLY.with_columns(y=two), LATER.with_columns(y=two))
    project.json("pack", "model.joblib", "--trust-pickle")
    project.json("gate")
    project.json("promote", "1")
    three = text_of_delay()
    project = make(Task.MULTICLASS, EARLY.with_columns(y=three), LATER.with_columns(y=three))
    project.json("pack", "model.joblib", "--trust-pickle")
    report = project.json("gate")
    assert judged(report, "better_than")["measurement"]["value"] > 0.1
