"""Windows of time and the join with the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.monitoring.rows import MOMENT
from shipway.monitoring.window import (
    Span,
    Window,
    window_of,
    windows,
    windows_in,
    with_truth,
    within,
)

moments = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, st.sampled_from(list(Span)))
def test_a_moment_lies_in_its_window(moment: datetime, span: Span) -> None:
    """From the beginning of the window on and before its end."""
    window = window_of(moment, span)
    assert window.since <= moment < window.until
    assert span != Span.WEEK or window.since.weekday() == 0


@given(
    moments, st.timedeltas(timedelta(0), timedelta(days=40)), st.sampled_from([Span.DAY, Span.WEEK])
)
def test_windows_follow_each_other_without_gap(
    since: datetime, length: timedelta, span: Span
) -> None:
    """They cover the whole stretch, each begins where the one before ends."""
    found = windows(since, since + length, span)
    assert all(a.until == b.since for a, b in pairwise(found))
    assert not found or (found[0].since <= since and found[-1].until >= since + length)


@given(st.lists(moments, max_size=20), st.sampled_from(list(Span)))
def test_windows_of_a_frame_hold_each_of_its_rows_once(times: list[datetime], span: Span) -> None:
    """No row is in two windows, none in no window."""
    frame = pl.DataFrame({"event_time": pl.Series(times, dtype=MOMENT)})
    found = windows_in(frame, span)
    assert sum(within(frame, window).height for window in found) == len(times)
    assert found == sorted({window_of(time, span) for time in times})


@pytest.mark.parametrize(
    ("span", "name"),
    [
        (Span.WEEK, "2013-04-01 to 2013-04-07"),
        (Span.DAY, "2013-04-03"),
        (Span.HOUR, "2013-04-03 05:00 to 2013-04-03 06:00"),
    ],
)
def test_a_window_is_named_by_what_it_covers(span: Span, name: str) -> None:
    """Whole days by their dates, anything shorter by the hour."""
    assert window_of(datetime(2013, 4, 3, 5, 30, tzinfo=UTC), span).name == name


def test_a_prediction_without_a_label_stays_without_truth() -> None:
    """The join keeps every prediction and its order."""
    frame = pl.DataFrame({"prediction_id": ["b:0", "a:0", None]})
    labels = pl.DataFrame(
        {"prediction_id": ["a:0", "z:0"], "truth": [1, 0], "observed_at": [None, None]},
        schema_overrides={"observed_at": MOMENT},
    )
    assert with_truth(frame, labels)["truth"].to_list() == [None, 1, None]


def test_the_end_of_a_window_belongs_to_the_next() -> None:
    """An event on midnight is counted once."""
    noon = datetime(2013, 4, 1, tzinfo=UTC)
    frame = pl.DataFrame({"event_time": pl.Series([noon], dtype=MOMENT)})
    assert within(frame, Window(noon - timedelta(days=1), noon)).height == 0
