"""Events and labels become a table to train on."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import NotEnoughData
from shipway.monitoring.learning import learnt, promised
from shipway.monitoring.rows import series

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
LATER = datetime(2024, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        (Kind.NUMBER, [1, 2.5, None], [1.0, 2.5, None]),
        (Kind.INTEGER, [1, 2.0, "x"], [1, 2, None]),
        (Kind.BOOLEAN, [True, None], [True, None]),
        (Kind.BOOLEAN, [1, 0, 7], [True, False, None]),
        (Kind.BOOLEAN, ["true", 0], [True, False]),
        (Kind.STRING, ["01", 2], ["01", "2"]),
        (Kind.DATE, ["2024-03-04", "soon", None], [date(2024, 3, 4), None, None]),
        (Kind.TIMESTAMP, ["2024-03-04T13:00:00+01:00", "2024-03-04 12:00"], [NOON, NOON]),
        (Kind.BOOLEAN, [None], [None]),
        (Kind.DATE, [None], [None]),
    ],
)
def test_columns_are_of_the_types_promised(kind: Kind, sent: list[Any], expected: Any) -> None:
    """Whatever mixture was sent, the column is of the contract's kind; a misfit is null."""
    assert promised(series("x", sent), kind).to_list() == expected


def frame(truth: list[Scalar]) -> pl.DataFrame:
    """Events with their truth; only ``distance`` was asked for then."""
    return pl.DataFrame(
        [
            pl.Series("event_time", [NOON] * len(truth)),
            pl.Series("input.distance", [1.5] * len(truth)),
            series("truth", truth),
        ]
    )


CONTRACT = Contract(
    model="m",
    task=Task.BINARY,
    columns=(
        Column(name="distance", kind=Kind.NUMBER),
        Column(name="wind", kind=Kind.NUMBER, nullable=True),
        Column(name="at", kind=Kind.TIMESTAMP, role=Role.TIME),
        Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
    ),
)


def test_a_column_that_was_not_asked_for_yet_is_missing() -> None:
    """Events of a version before a feature was added can be learnt from, the feature unknown."""
    table = learnt(frame([1, "0", None]), CONTRACT, LATER)
    assert table.columns == ["distance", "wind", "at", "late"]
    assert table["wind"].dtype == pl.Float64
    assert promised(pl.Series([None, None]), Kind.DATE).dtype == pl.Date
    assert table["wind"].null_count() == 2
    assert table["late"].to_list() == [1, 0]
    assert table["at"].to_list() == [NOON, NOON]


def test_nothing_to_learn_from_is_said() -> None:
    """Without labels, or with none before the time named, there is no table."""
    for events, until in ((frame([None]), LATER), (frame([1]), NOON)):
        with pytest.raises(NotEnoughData, match="no prediction has a label"):
            learnt(events, CONTRACT, until)
