"""Events of answered requests, as the tests of monitoring keep and read them."""

from __future__ import annotations

from typing import Any

from shipway.domain.events import PredictionEvent

NS = 1_000_000_000


def event(
    request_id: str, rows: int = 1, at_s: int = 1_364_774_400, **changes: Any
) -> PredictionEvent:
    """An answered request."""
    given: dict[str, Any] = {
        "request_id": request_id,
        "received_at_ns": at_s * NS,
        "endpoint": "m",
        "model": "m",
        "version": 1,
        "caller": "",
        "rows": rows,
        "latency_us": 9,
        "columns": {"x": [1.5] * rows},
        "scores": [0.5] * rows,
        "labels": [1] * rows,
    }
    return PredictionEvent(**{**given, **changes})
