"""Events as a table: one row a prediction, and one row a refused request.

Columns of the frame, in this order:

=================  ==================  =========================================================
prediction_id      String              null for a refused request
request_id         String
row                Int64               the row within the request from 0, null for a refused one
rows               Int64               how many rows the request had
received_at        Datetime[us, UTC]
event_time         Datetime[us, UTC]   the contract's time column, else ``received_at``
endpoint, model    String
version            Int64
caller             String
latency_us         Int64               of the whole request
status             Int64
code               String              why it was refused, or ""
warnings           String              JSON of the counts by code, "" if there are none
score              Float64             probability of the positive class, or the value
probabilities      List(Float64)       of a multiclass model
label              as the target is
``input.<name>``   as it was sent      every column of the requests
=================  ==================  =========================================================

The prefix ``input.`` keeps a feature that is called ``score`` or ``version`` apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from shipway.domain.events import PredictionEvent, Scalar
from shipway.domain.text import text_of
from shipway.domain.times import from_iso

INPUT = "input."
MOMENT = pl.Datetime("us", "UTC")
META: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "prediction_id": pl.String,
    "request_id": pl.String,
    "row": pl.Int64,
    "rows": pl.Int64,
    "received_at": MOMENT,
    "event_time": MOMENT,
    "endpoint": pl.String,
    "model": pl.String,
    "version": pl.Int64,
    "caller": pl.String,
    "latency_us": pl.Int64,
    "status": pl.Int64,
    "code": pl.String,
    "warnings": pl.String,
    "score": pl.Float64,
    "probabilities": pl.List(pl.Float64),
}


def empty() -> pl.DataFrame:
    """A frame of no events."""
    return pl.DataFrame(schema={**META, "label": pl.Null})


def to_frame(
    events: Sequence[PredictionEvent], time_columns: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """*events* as the table described above, in their order.

    *time_columns* names, for each model that has one, the request column with the event time. A
    time that cannot be read counts as the time of receipt.
    """
    if not events:
        return empty()
    spans = [_span(event) for event in events]
    times, inputs = _inputs(events, spans, time_columns or {})
    requests = pl.DataFrame(
        {
            "request_id": [event.request_id for event in events],
            "answered": [_answered(event) for event in events],
            "rows": [event.rows for event in events],
            "received_at": [event.received_at_ns // 1000 for event in events],
            "endpoint": [event.endpoint for event in events],
            "model": [event.model for event in events],
            "version": [event.version for event in events],
            "caller": [event.caller for event in events],
            "latency_us": [event.latency_us for event in events],
            "status": [event.status for event in events],
            "code": [event.code for event in events],
            "warnings": [_json(event.warnings) for event in events],
        },
        schema_overrides={
            "received_at": pl.Int64,
            **{name: META[name] for name in ("version", "latency_us", "status", "rows")},
        },
    )
    numbers = pl.when("answered").then(pl.int_ranges(0, "rows"))
    frame = (
        requests.with_columns(row=numbers)
        .explode("row")
        .with_columns(
            prediction_id=pl.col("request_id") + ":" + pl.col("row").cast(pl.String),
            received_at=pl.col("received_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        )
    )
    frame = frame.with_columns(
        times.fill_null(frame["received_at"]),
        *_scores(events, spans),
        series("label", _spread(spans, (e.labels if _answered(e) else [] for e in events))),
        *inputs,
    )
    return frame.select(*META, "label", *(c for c in frame.columns if c.startswith(INPUT)))


def together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """*frames* under each other; a column that some lack is null there.

    Where types differ (a version that took whole numbers, one that takes any) the wider one holds;
    where there is none (numbers and strings) the column becomes text.
    """
    if not frames:
        return empty()
    clashing = _clashing(frames)
    if clashing:
        frames = [f.with_columns(as_text(f[c]) for c in clashing if c in f.columns) for f in frames]
    return pl.concat(frames, how="diagonal_relaxed")


def series(name: str, values: Sequence[Scalar]) -> pl.Series:
    """*values* as a column: of their one type, else Float64 if all are numbers, else text."""
    try:
        made = pl.Series(name, values, strict=True)
    except (TypeError, OverflowError):
        made = _mixed(name, values)
    return _mixed(name, values) if made.dtype in (pl.Int128, pl.Object) else made


def inputs(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The request columns *names* of *frame* under their own names; those never sent are null."""
    return frame.select(
        (pl.col(INPUT + name) if INPUT + name in frame.columns else pl.lit(None)).alias(name)
        for name in names
    )


def as_text(values: pl.Series) -> pl.Series:
    """The text form of each of *values*; NaN counts as missing."""
    if values.dtype in (pl.String, pl.Null) or values.dtype.is_integer():
        return values.cast(pl.String)
    unique = values.unique()
    texts = pl.Series([_text(value) for value in unique.to_list()], dtype=pl.String)
    return values.replace_strict(unique, texts, return_dtype=pl.String).alias(values.name)


def moment_of(value: Scalar) -> datetime | None:
    """The moment that RFC 3339 text names; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        return from_iso(value)
    except (ValueError, OverflowError):
        return None


def _answered(event: PredictionEvent) -> bool:
    return not event.code and event.rows > 0 and len(event.labels) == event.rows


def _span(event: PredictionEvent) -> int:
    return event.rows if _answered(event) else 1


def _spread(spans: Sequence[int], columns: Iterable[Sequence[Any]]) -> list[Any]:
    """The values of *columns* in one list, None for an event that lacks them."""
    values: list[Any] = []
    for span, column in zip(spans, columns, strict=True):
        values += column if len(column) == span else [None] * span
    return values


def _scores(events: Sequence[PredictionEvent], spans: Sequence[int]) -> tuple[pl.Series, pl.Series]:
    values = _spread(spans, (event.scores if _answered(event) else [] for event in events))
    single = [None if isinstance(value, list) else value for value in values]
    several = [value if isinstance(value, list) else None for value in values]
    return (
        pl.Series("score", single, dtype=pl.Float64, strict=False),
        pl.Series("probabilities", several, dtype=pl.List(pl.Float64), strict=False),
    )


def _inputs(
    events: Sequence[PredictionEvent], spans: Sequence[int], time_columns: Mapping[str, str]
) -> tuple[pl.Series, list[pl.Series]]:
    """The event time of each row where it was told, and the columns of the requests."""
    layouts = {event.names for event in events if event.names}
    if len(layouts) == 1 and not any(event.columns for event in events):
        # Numbers alone tell no time.
        untold = pl.Series("event_time", [None], dtype=MOMENT).new_from_index(0, sum(spans))
        return untold, _matrices(events, spans, layouts.pop())
    columns = [event.by_column() for event in events]
    return _moments(events, columns, spans, time_columns), [
        series(INPUT + name, _spread(spans, (given.get(name, []) for given in columns)))
        for name in dict.fromkeys(name for given in columns for name in given)
    ]


def _matrices(
    events: Sequence[PredictionEvent], spans: Sequence[int], names: Sequence[str]
) -> list[pl.Series]:
    """The columns of requests that all came as matrices, at once: the same as one by one."""
    missing = np.full(len(names), np.nan).tobytes()
    parts = (
        event.matrix if len(event.matrix) == span * len(missing) else missing * span
        for event, span in zip(events, spans, strict=True)
    )
    table = np.frombuffer(b"".join(parts), dtype=np.float64).reshape(-1, len(names))
    columns = []
    for at, name in enumerate(names):
        column = pl.Series(INPUT + name, np.ascontiguousarray(table[:, at])).fill_nan(None)
        none = column.null_count() == len(column)
        columns.append(column.cast(pl.Null) if none else column)
    return columns


def _moments(
    events: Sequence[PredictionEvent],
    columns: Sequence[Mapping[str, list[Scalar]]],
    spans: Sequence[int],
    time_columns: Mapping[str, str],
) -> pl.Series:
    """The event time of each row, null where the request does not tell it."""
    known: dict[Scalar, datetime | None] = {}
    times = (
        given.get(time_columns.get(event.model, ""), [])
        for event, given in zip(events, columns, strict=True)
    )
    values = _spread(spans, times)
    moments: list[datetime | None] = []
    for value in values:
        if value not in known:
            known[value] = moment_of(value)
        moments.append(known[value])
    return pl.Series("event_time", moments, dtype=MOMENT)


def _mixed(name: str, values: Sequence[Scalar]) -> pl.Series:
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    if len(numbers) + sum(value is None for value in values) == len(values):
        filled = iter(numbers)
        floats = [None if value is None else next(filled) for value in values]
        return pl.Series(name, floats, dtype=pl.Float64)
    return pl.Series(name, [_text(value) for value in values], dtype=pl.String)


def _text(value: Scalar) -> str | None:
    missing = value is None or value != value  # noqa: PLR0124 - NaN is not itself
    return None if missing else text_of(value)


def _clashing(frames: Sequence[pl.DataFrame]) -> list[str]:
    """The columns that are text in one frame and something else in another."""
    kinds: dict[str, set[str]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            if dtype != pl.Null:
                kind = "text" if dtype == pl.String else "other"
                kinds.setdefault(name, set()).add(kind)
    return [name for name, found in kinds.items() if len(found) > 1]


def _json(warnings: Mapping[str, int]) -> str:
    return msgspec.json.encode(warnings).decode() if warnings else ""
