"""Latency and errors as measurements."""

from __future__ import annotations

import numpy as np
import pytest

from shipway.errors import DataError, UsageError
from shipway.evidence.traffic import measure_traffic


def test_latency_quantile_is_measured() -> None:
    """The 99th percentile has a value and an interval around it."""
    found = measure_traffic("latency_p99_ms", latencies_ms=np.arange(1, 2001))
    assert found.value == 1980
    assert found.low is not None and found.high is not None  # noqa: PT018
    assert found.low < 1980 < found.high
    assert found.n == 2000


def test_few_requests_leave_the_end_open() -> None:
    """With few requests the upper end is not known, and the note says so."""
    found = measure_traffic("latency_p99_ms", latencies_ms=[1.0, 2.0, 3.0])
    assert found.high is None
    assert "too few" in found.note


def test_error_rate_is_a_proportion() -> None:
    """No error in 100 requests leaves up to 3.6 % possible."""
    found = measure_traffic("error_rate", errors=0, requests=100)
    assert (found.value, found.method) == (0.0, "Clopper-Pearson")
    assert found.high == pytest.approx(0.0362, abs=1e-4)


@pytest.mark.parametrize("metric", ["latency_p50_ms", "error_rate"])
def test_no_requests_is_said(metric: str) -> None:
    """Without requests there is no value, and a note."""
    found = measure_traffic(metric)
    assert found.value is None
    assert "no requests" in found.note


def test_wrong_input_is_refused() -> None:
    """A metric of outcomes and a latency of NaN are refused."""
    with pytest.raises(UsageError, match="roc_auc"):
        measure_traffic("roc_auc")
    with pytest.raises(DataError, match="NaN"):
        measure_traffic("latency_p50_ms", latencies_ms=[1.0, float("nan")])
