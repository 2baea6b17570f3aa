"""How the server did in a window: latency and errors, request by request."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from shipway.evidence.traffic import measure_traffic
from shipway.evidence.verdict import Measurement
from shipway.monitoring.findings import Traffic
from shipway.monitoring.window import Window, within

_SERVER_FAULT = 500
_CALLER_FAULT = 400


def requests_of(frame: pl.DataFrame) -> pl.DataFrame:
    """One row a request out of *frame*, which has one a prediction and one a refusal."""
    return frame.filter(pl.col("row").is_null() | (pl.col("row") == 0))


def traffic(frame: pl.DataFrame, *, confidence: float = 0.95) -> Traffic:
    """The traffic in *frame*: rows of events, refused requests among them.

    The error rate leaves out what was the caller's own fault.
    """
    requests = requests_of(frame)
    status = requests["status"]
    failed = int((status >= _SERVER_FAULT).sum())
    refused = int(((status >= _CALLER_FAULT) & (status < _SERVER_FAULT)).sum())
    answered = requests.filter(pl.col("status") < _CALLER_FAULT)
    latencies = (answered["latency_us"] / 1000).to_numpy()
    codes = requests.filter(pl.col("code") != "")["code"].value_counts().sort("code")

    def measured(metric: str) -> Measurement:
        return measure_traffic(
            metric,
            latencies_ms=latencies,
            errors=failed,
            requests=requests.height - refused,
            confidence=confidence,
        )

    return Traffic(
        requests=requests.height,
        refused=refused,
        failed=failed,
        codes=dict(codes.iter_rows()),
        error_rate=measured("error_rate"),
        latency_p50_ms=measured("latency_p50_ms"),
        latency_p99_ms=measured("latency_p99_ms"),
    )


def traffic_by_window(
    frame: pl.DataFrame, windows: Iterable[Window], *, confidence: float = 0.95
) -> dict[Window, Traffic]:
    """The traffic of each of *windows*, by event time."""
    return {window: traffic(within(frame, window), confidence=confidence) for window in windows}


def measurements(found: Traffic) -> dict[str, Measurement]:
    """The measurements of *found* by the name of their metric."""
    return {m.metric: m for m in (found.error_rate, found.latency_p50_ms, found.latency_p99_ms)}
