"""Stretches of time, and the predictions in them with the truth beside each.

A frame of predictions is the frame of ``rows`` without refused requests; joined with labels it
has ``truth`` and ``observed_at`` as well, both null where nobody has told the truth yet.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec
import polars as pl

from shipway.contract.schema import Contract
from shipway.monitoring.reader import EventReader
from shipway.security.sealing import NO_KEYRING, Keyring


class Span(StrEnum):
    """How long a window is. Weeks begin on Monday, days at midnight, all in UTC."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_LONGEST = {
    Span.HOUR: timedelta(hours=1),
    Span.DAY: timedelta(days=1),
    Span.WEEK: timedelta(days=7),
    Span.MONTH: timedelta(days=31),
}
_EVERY = {Span.HOUR: "1h", Span.DAY: "1d", Span.WEEK: "1w", Span.MONTH: "1mo"}


class Window(msgspec.Struct, frozen=True, order=True):
    """The time from ``since`` up to, and without, ``until``."""

    since: datetime
    until: datetime

    @property
    def name(self) -> str:
        """The window as people write it: its first day, or hour, and its last.

        >>> window_of(datetime(2013, 4, 3, tzinfo=UTC), Span.WEEK).name
        '2013-04-01 to 2013-04-07'
        """
        length = self.until - self.since
        if length < timedelta(days=1) or length % timedelta(days=1):
            return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"
        last = self.until - timedelta(days=1)
        return f"{self.since:%Y-%m-%d}" + (f" to {last:%Y-%m-%d}" if last > self.since else "")


def window_of(moment: datetime, span: Span | str) -> Window:
    """The window of length *span* that *moment* lies in."""
    since = _start(moment.astimezone(UTC), Span(span))
    return Window(since, _start(since + _LONGEST[Span(span)], Span(span)))


def windows(since: datetime, until: datetime, span: Span | str) -> list[Window]:
    """The windows of length *span* that touch [since, until), whole, in order."""
    found: list[Window] = []
    window = window_of(since, span)
    while window.since < until:
        found.append(window)
        window = window_of(window.until, span)
    return found


def windows_in(frame: pl.DataFrame, span: Span | str) -> list[Window]:
    """The windows of length *span* in which *frame* has events, in order."""
    starts = frame.select(pl.col("event_time").dt.truncate(_EVERY[Span(span)]).unique().sort())
    return [window_of(start, span) for start in starts["event_time"].drop_nulls().to_list()]


def within(frame: pl.DataFrame, window: Window) -> pl.DataFrame:
    """The rows of *frame* whose event time lies in *window*."""
    return frame.filter(pl.col("event_time").is_between(window.since, window.until, closed="left"))


def with_truth(frame: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """*frame* in its order, with the ``truth`` and ``observed_at`` of *labels* by prediction id."""
    if not frame.height:
        return frame.with_columns(truth=pl.lit(None), observed_at=pl.lit(None))
    return frame.join(labels, on="prediction_id", how="left", maintain_order="left")


def predictions(
    folder: Path,
    contract: Contract,
    since: datetime | None = None,
    until: datetime | None = None,
    keyring: Keyring = NO_KEYRING,
) -> pl.DataFrame:
    """The predictions of the contract's model with event time in [since, until), read once.

    *folder* is the event folder. Keep an :class:`~shipway.monitoring.reader.EventReader` to ask
    more than once.
    """
    reader = EventReader(
        folder,
        time_columns=time_columns(contract),
        since=since,
        until=until,
        keyring=keyring,
    )
    frame = reader.refresh().filter(pl.col("model") == contract.model, pl.col("row").is_not_null())
    if since is not None:
        frame = frame.filter(pl.col("event_time") >= since)
    if until is not None:
        frame = frame.filter(pl.col("event_time") < until)
    return frame


def time_columns(*contracts: Contract) -> dict[str, str]:
    """The request column with the event time by model, for the contracts that have one."""
    return {c.model: c.time.name for c in contracts if c.time is not None}


def _start(moment: datetime, span: Span) -> datetime:
    """The beginning of the window that *moment*, in UTC, lies in."""
    since = moment.replace(minute=0, second=0, microsecond=0)
    if span == Span.HOUR:
        return since
    since = since.replace(hour=0)
    if span == Span.WEEK:
        return since - timedelta(days=since.weekday())
    return since.replace(day=1) if span == Span.MONTH else since
