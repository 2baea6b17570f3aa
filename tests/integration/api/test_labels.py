"""Labels as tables have them: times with and without zones, text, holes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from tests.projects import Done, Project

from shipway.monitoring.labels import LabelReader

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that has settings; labels need no more."""
    (tmp_path / "shipway.toml").write_text(
        '[model]\nname = "m"\ntask = "regression"\ntarget = "delay"\n'
        '[[objectives]]\nmetric = "mae"\nat_most = 1\n'
    )
    return Project(tmp_path)


@pytest.fixture
def far_east() -> Iterator[None]:
    """A machine whose own time is nine hours ahead of UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def add(project: Project, observed: object, values: object = (1.5, 2.5)) -> Done:
    """What `labels add` says of two labels, observed at *observed*."""
    path = project.folder / "labels.parquet"
    data = {"prediction_id": ["a:0", "a:1"], "delay": values, "observed_at": observed}
    pl.DataFrame(data, strict=False).write_parquet(path)
    return project.call("labels", "add", str(path))


def kept(project: Project) -> pl.DataFrame:
    """The labels in the store, by prediction."""
    return LabelReader(project.folder / ".shipway" / "labels").refresh().sort("prediction_id")


@pytest.mark.usefixtures("far_east")
@pytest.mark.parametrize(
    "observed",
    [
        [NOON, NOON],
        [NOON.replace(tzinfo=None)] * 2,
        ["2024-03-04T12:00:00", "2024-03-04 12:00:00"],
        ["2024-03-04T12:00:00Z", "2024-03-04T21:00:00+09:00"],
    ],
    ids=["aware", "naive", "text", "text with a zone"],
)
def test_observed_at_is_the_moment_that_it_names(project: Project, observed: object) -> None:
    """A time without a zone is UTC, not the machine's own, and text is read as a time."""
    assert add(project, observed).code == 0
    assert kept(project)["observed_at"].to_list() == [NOON, NOON]


def test_a_day_is_its_midnight(project: Project) -> None:
    """A date is the moment at which it begins, in UTC."""
    assert add(project, [date(2024, 3, 4)] * 2).code == 0
    assert kept(project)["observed_at"][0] == datetime(2024, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize("observed", [["soon", "later"], [5.5, 6.5]])
def test_what_is_no_time_is_refused(project: Project, observed: object) -> None:
    """A time that cannot be read is told with its row, and is not taken for now."""
    done = add(project, observed)
    assert done.code == 2
    assert "row 0" in done.said
    assert "observed_at" in done.said
    assert kept(project).height == 0


def test_a_truth_of_nan_is_no_truth_yet(project: Project) -> None:
    """Rows whose outcome is NaN, as pandas writes what is missing, are passed over."""
    assert add(project, [NOON, NOON], [float("nan"), 2.5]).code == 0
    assert kept(project)["prediction_id"].to_list() == ["a:1"]
