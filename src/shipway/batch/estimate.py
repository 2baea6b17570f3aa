"""What a score would cost, from one chunk of it that is scored and thrown away."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import msgspec

from shipway.batch.job import Job

_SAMPLE_ROWS = 10_000
_COPIES = 2
"""The parts, and the output that is made of them."""


class ScoreEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a score of about ``rows`` rows (``counted`` tells if that is exact) would take.

    ``seconds`` and ``disk_bytes`` (with what is given back at the end) are scaled up from
    ``sampled_rows``, of which ``sampled_bad_rows`` break the contract.
    """

    files: int
    rows: int
    counted: bool
    parts: int
    seconds: float
    rows_per_s: float
    disk_bytes: int
    sampled_rows: int
    sampled_bad_rows: int


def estimate_job(
    job: Job, begun_at_ns: int, *, clock_s: Callable[[], float] = time.perf_counter
) -> ScoreEstimate:
    """What the *job* would cost, judged by its first ten thousand rows; nothing is written."""
    source = job.source
    rows = source.about_rows()
    started_s = clock_s()
    chunks = source.chunks(min(job.chunk_rows, _SAMPLE_ROWS))
    ready = next(job.prepared(chunks, first_row=0), None)
    tables = {} if ready is None else job.predicted(ready, begun_at_ns)
    size = 0
    for table in tables.values():
        content = io.BytesIO()
        table.write_parquet(content, compression="lz4")
        size += len(content.getvalue())
    seconds = max(clock_s() - started_s, 1e-9)
    sampled = 0 if ready is None else ready.read
    share = rows / sampled if sampled else 0.0
    return ScoreEstimate(
        files=len(source.files),
        rows=rows,
        counted=source.rows is not None,
        parts=sum(-(-one.about_rows() // job.chunk_rows) for one in source.files),
        seconds=seconds * share,
        rows_per_s=sampled / seconds,
        disk_bytes=round(size * share * _COPIES),
        sampled_rows=sampled,
        sampled_bad_rows=0 if ready is None or ready.aside is None else ready.aside.height,
    )
