"""What was scored offline, as monitoring sees what was asked online: in segments of its own.

A segment bears the name of the job and the number of its part, so that a job that is run again,
or goes on after it was cut off, is seen once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from shipway.monitoring.rows import INPUT, META, MOMENT, as_text, moment_of
from shipway.monitoring.segments import add_segment, segments
from shipway.security.sealing import Keyring

_CALLER = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Rows of a table and their answers, all of one length.

    ``rows`` are their numbers in the table; ``scores`` is None for a multiclass model, which has
    ``probabilities``.
    """

    inputs: pl.DataFrame
    rows: pl.Series
    scores: pl.Series | None
    probabilities: pl.Series | None
    labels: pl.Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Where monitoring looks, and what answered: ``time`` is the column of the event time."""

    folder: Path
    keyring: Keyring
    endpoint: str
    model: str
    version: int
    time: str | None = None

    def keep(self, tables: Iterable[pl.DataFrame], job: str) -> None:
        """Show *tables* of :func:`seen_of` to monitoring, but for those of *job* that it has seen.

        Raises :class:`~shipway.errors.StoreError`.
        """
        known = segments(self.folder)
        for number, table in enumerate(tables):
            stem = f"batch-{job}-{number:08d}"
            if stem not in known:
                add_segment(self.folder, stem, table, self.keyring)


def seen_of(seen: Seen, job: str, answered: Answered, *, at_ns: int) -> pl.DataFrame:
    """*answered* by the *job* that began *at_ns*, with the columns of ``rows``."""
    inputs = answered.inputs
    received = pl.Series([at_ns // 1000], dtype=pl.Int64).cast(pl.Datetime("us"))
    frame = pl.DataFrame({"row": answered.rows}).with_columns(
        request_id=pl.lit(job),
        prediction_id=pl.format("{}:{}", pl.lit(job), pl.col("row")),
        rows=pl.lit(inputs.height),
        received_at=pl.lit(received.dt.replace_time_zone("UTC")[0], dtype=MOMENT),
        endpoint=pl.lit(seen.endpoint),
        model=pl.lit(seen.model),
        version=pl.lit(seen.version),
        caller=pl.lit(_CALLER),
        latency_us=pl.lit(0),
        status=pl.lit(200),
        code=pl.lit(""),
        warnings=pl.lit(""),
    )
    nothing = pl.Series([None] * inputs.height)
    given = _moments(inputs[seen.time]) if seen.time in inputs.columns else nothing.cast(MOMENT)
    frame = frame.with_columns(
        event_time=given.fill_null(frame["received_at"]),
        score=nothing if answered.scores is None else answered.scores,
        probabilities=nothing if answered.probabilities is None else answered.probabilities,
        label=answered.labels,
    )
    columns = [_sent(inputs[name]).alias(INPUT + name) for name in inputs.columns]
    return frame.select(
        *(pl.col(name).cast(dtype) for name, dtype in META.items()), "label", *columns
    )


def _moments(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String:
        unique = values.unique()
        moments = pl.Series([moment_of(one) for one in unique.to_list()], dtype=MOMENT)
        return values.replace_strict(unique, moments, return_dtype=MOMENT)
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is None:
        values = values.dt.replace_time_zone("UTC")
    return values.cast(MOMENT, strict=False)


def _sent(values: pl.Series) -> pl.Series:
    """*values* as a request has them: times as text."""
    return as_text(values) if values.dtype.is_temporal() else values
