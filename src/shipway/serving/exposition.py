"""The metrics page: what all workers counted, summed, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from shipway import __version__
from shipway.serving.counters import read_counters
from shipway.serving.metrics import FAMILIES, METRICS_FOLDER, Family
from shipway.serving.status import WorkerStatus, read_workers

CONTENT_TYPE = CONTENT_TYPE_LATEST


class ServerCollector(Collector):
    """Reads the workers' counters and statuses under *run* each time that it is asked."""

    def __init__(self, run: Path) -> None:
        self._run = run

    def collect(self) -> Iterator[Metric]:
        """Every family, those without a series too."""
        totals: dict[tuple[str, tuple[str, ...]], list[float]] = {}
        for series in read_counters(self._run / METRICS_FOLDER):
            total = totals.setdefault(
                (series.family.name, series.labels), [0.0] * len(series.cells)
            )
            for position, value in enumerate(series.cells):
                total[position] = series.family.combine((total[position], value))
        for family in FAMILIES.values():
            found = {
                labels: cells for (name, labels), cells in totals.items() if name == family.name
            }
            yield _histogram(family, found) if family.buckets else _single(family, found)
        yield from _gauges(read_workers(self._run))


def metrics_page(run: Path) -> bytes:
    """The page for the server whose state is in *run*."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(run))
    return generate_latest(registry)


def _single(family: Family, found: dict[tuple[str, ...], list[float]]) -> Metric:
    kind = GaugeMetricFamily if family.newest else CounterMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, cells in found.items():
        metric.add_metric(labels, cells[0])
    return metric


def _histogram(family: Family, found: dict[tuple[str, ...], list[float]]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*(f"{bound:g}" for bound in family.buckets), "+Inf"]
    for labels, cells in found.items():
        below, buckets = 0.0, []
        for bound, count in zip(bounds, cells, strict=False):
            below += count
            buckets.append((bound, below))
        metric.add_metric(labels, buckets=buckets, sum_value=cells[-1])
    return metric


def _gauges(workers: tuple[WorkerStatus, ...]) -> Iterator[Metric]:
    build = GaugeMetricFamily("shipway_build_info", "Always 1.", labels=("version",))
    build.add_metric((__version__,), 1)
    yield build
    yield GaugeMetricFamily("shipway_workers", "Workers that are alive.", value=len(workers))
    ready = sum(worker.ready for worker in workers)
    yield GaugeMetricFamily("shipway_workers_ready", "Workers that can answer.", value=ready)
    serving = GaugeMetricFamily(
        "shipway_endpoint_workers",
        "Workers that answer for an endpoint with a version.",
        labels=("endpoint", "model_name", "model_version"),
    )
    counts: dict[tuple[str, str, str], int] = {}
    for worker in workers:
        for name, status in worker.endpoints.items():
            if status.live is not None:
                key = (name, status.model, str(status.live))
                counts[key] = counts.get(key, 0) + 1
    for labels, count in counts.items():
        serving.add_metric(labels, count)
    yield serving
