"""What is counted, under which names, and how it is told to Prometheus.

Names follow Prometheus' rules (base units, ``_total``); labels are bounded: models, versions and
codes that exist, never what a client sent. Latency has the buckets of OpenTelemetry's
``http.server.request.duration`` with finer ones below, where a prediction server lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

METRICS_FOLDER = "metrics"
"""Where the workers' counters are, under ``run/``."""

CELLS = 16_384
"""float64 cells a worker's counter file has: about 500 versions' worth of series."""

SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
    0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0, 16_384.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: a histogram where it has ``buckets`` (upper bounds), else a counter.

    Of a ``newest`` one the greatest value of all workers counts, and it is a gauge.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    newest: bool = False

    def combine(self, values: Iterable[float]) -> float:
        """The value of all workers together."""
        return max(values) if self.newest else sum(values)

    @property
    def cells(self) -> int:
        """Cells a series takes: one, or a bucket each, the one above them, and the sum."""
        return len(self.buckets) + 2 if self.buckets else 1


_MODEL = ("endpoint", "model_name", "model_version")


def _families() -> Mapping[str, Family]:
    families = (
        Family(
            "shipway_requests_total",
            "Inference requests that reached a version, by the status they were answered with.",
            (*_MODEL, "status"),
        ),
        Family(
            "shipway_request_duration_seconds",
            "Time from the last byte of an inference request to its answer.",
            _MODEL,
            SECONDS,
        ),
        Family("shipway_rows_total", "Rows that were predicted.", _MODEL),
        Family(
            "shipway_batch_rows", "Rows that one call of the model took together.", _MODEL, ROWS
        ),
        Family(
            "shipway_batch_duration_seconds",
            "Time that a batch took: contract, model and event log.",
            _MODEL,
            SECONDS,
        ),
        Family(
            "shipway_queue_seconds_total",
            "Time that requests waited for their batch to begin, of all together.",
            _MODEL,
        ),
        Family(
            "shipway_queued_requests_total", "Requests that waited for a batch and got one.", _MODEL
        ),
        Family(
            "shipway_failed_seconds_total",
            "Time that requests took which a version refused or failed, of all together.",
            _MODEL,
        ),
        Family(
            "shipway_last_request_timestamp_seconds",
            "When the last request that a batch began for had arrived, since 1970.",
            _MODEL,
            newest=True,
        ),
        Family(
            "shipway_warnings_total",
            "Rows that broke a soft rule of the contract and were answered, by rule.",
            (*_MODEL, "code"),
        ),
        Family(
            "shipway_errors_total",
            "Inference requests that a version refused or failed, by error code.",
            (*_MODEL, "code"),
        ),
        Family(
            "shipway_http_refused_total",
            "Requests refused before they reached a version, by error code.",
            ("code",),
        ),
        Family(
            "shipway_grpc_refused_total",
            "Calls over gRPC refused before they reached a version, by error code.",
            ("code",),
        ),
        Family(
            "shipway_events_lost_total",
            "Requests that were answered and could not be remembered: monitoring misses them.",
            (),
        ),
        Family("shipway_connections_total", "Connections accepted.", ()),
    )
    return MappingProxyType({family.name: family for family in families})


FAMILIES: Mapping[str, Family] = _families()
