"""Counters that outlive who counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.serving import counters
from shipway.serving.counters import SUFFIX, CounterFile, read_counters, wipe_counters
from shipway.serving.exposition import metrics_page
from shipway.serving.metrics import METRICS_FOLDER

LABELS = ("e", "m", "1")


def totals(folder: Path) -> dict[tuple[str, tuple[str, ...]], float]:
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    for series in read_counters(folder):
        key = (series.family.name, series.labels)
        found[key] = found.get(key, 0) + series.cells[0]
    return found


def test_counting_on(tmp_path: Path) -> None:
    """Who takes the place of a dead worker counts on; two workers' counts add up."""
    for name in ("worker-0", "worker-1", "worker-0"):
        file = CounterFile(tmp_path / f"{name}{SUFFIX}")
        file.counter("shipway_rows_total", *LABELS).add(5)
        file.counter("shipway_requests_total", *LABELS, "200").add()
    assert totals(tmp_path) == {
        ("shipway_rows_total", LABELS): 15,
        ("shipway_requests_total", (*LABELS, "200")): 3,
    }
    wipe_counters(tmp_path)
    assert totals(tmp_path) == {}


def test_torn_name(tmp_path: Path) -> None:
    """Half a name, of a worker killed as it wrote it, is passed over and written over."""
    path = tmp_path / f"worker-0{SUFFIX}"
    CounterFile(path).counter("shipway_rows_total", *LABELS).add()
    data = bytearray(path.read_bytes())
    end = data.rindex(b"\n") + 1
    data[end : end + 5] = b'["shi'
    path.write_bytes(data)
    assert totals(tmp_path) == {("shipway_rows_total", LABELS): 1}
    again = CounterFile(path)
    again.counter("shipway_warnings_total", *LABELS, "c").add(2)
    assert totals(tmp_path) == {
        ("shipway_rows_total", LABELS): 1,
        ("shipway_warnings_total", (*LABELS, "c")): 2,
    }


def test_a_full_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its room a file counts no new series, and those that it has stay right."""
    monkeypatch.setattr(counters, "CELLS", 80)
    file = CounterFile(tmp_path / f"worker-0{SUFFIX}")
    for number in range(100):
        file.counter("shipway_http_refused_total", str(number)).add()
    assert set(totals(tmp_path).values()) == {1}
    assert len(totals(tmp_path)) == 16


def test_page(tmp_path: Path) -> None:
    """The page has cumulative buckets, sums, and every family with its help."""
    file = CounterFile(tmp_path / METRICS_FOLDER / f"worker-0{SUFFIX}")
    histogram = file.histogram("shipway_request_duration_seconds", *LABELS)
    for seconds in (0.0001, 0.00011, 0.3, 60.0):
        histogram.observe(seconds)
    page = metrics_page(tmp_path).decode()
    for bound, count in (("0.0001", "1.0"), ("0.00025", "2.0"), ("0.5", "3.0"), ("+Inf", "4.0")):
        labels = f'endpoint="e",le="{bound}",model_name="m",model_version="1"'
        assert f"shipway_request_duration_seconds_bucket{{{labels}}} {count}" in page
    assert "_sum{" in page
    assert "# HELP shipway_rows_total" in page
