"""Metrics of the traffic itself: latency quantiles and the share of requests that failed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from shipway.domain.metrics import METRICS, Source
from shipway.errors import DataError, UsageError
from shipway.evidence.intervals import proportion, quantile, quantile_interval
from shipway.evidence.verdict import Measurement

_QUANTILES: Mapping[str, float] = MappingProxyType({"latency_p50_ms": 0.5, "latency_p99_ms": 0.99})


def measure_traffic(
    metric: str,
    *,
    latencies_ms: ArrayLike = (),
    errors: int = 0,
    requests: int = 0,
    confidence: float = 0.95,
) -> Measurement:
    """A latency quantile of *latencies_ms* (n,), or the share *errors* of *requests*.

    Intervals take requests as independent; a slow minute makes neighbours slow together, so
    on few minutes of traffic they are too narrow. A 99th percentile of fewer than 368 requests
    has no upper end (``high`` is None), and then cannot pass. Raises
    :class:`~shipway.errors.UsageError` for a metric that is not one of traffic.
    """
    definition = METRICS.get(metric)
    if definition is None or definition.source is not Source.TRAFFIC:
        known = [name for name, one in METRICS.items() if one.source is Source.TRAFFIC]
        raise UsageError(
            f"{metric!r} is not a metric of traffic", next_step=f"use one of {', '.join(known)}"
        )
    latencies = np.asarray(latencies_ms, dtype=np.float64)
    n = len(latencies) if metric in _QUANTILES else requests
    if n == 0:
        return Measurement(
            metric=metric,
            value=None,
            low=None,
            high=None,
            n=0,
            method="none",
            confidence=confidence,
            note="not enough data: there were no requests",
        )
    if metric in _QUANTILES:
        if not np.isfinite(latencies).all():
            raise DataError(
                "a latency is NaN or infinite", next_step="measure latencies in finite milliseconds"
            )
        share = _QUANTILES[metric]
        value, interval = (
            quantile(latencies, share),
            quantile_interval(latencies, share, confidence),
        )
    else:
        value, interval = errors / requests, proportion(errors, requests, confidence)
    open_end = "" if interval.high is not None else f"{n} requests are too few for an upper end"
    return Measurement(
        metric=metric,
        value=value,
        low=interval.low,
        high=interval.high,
        n=n,
        method=interval.method,
        confidence=confidence,
        note=open_end,
    )
