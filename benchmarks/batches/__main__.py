"""``make bench-batch``: scoring parquet to parquet, beside the bare runtime, pandas and MLflow."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.registries.sides import Side
from benchmarks.serving import environments
from benchmarks.serving.faults import Unmeasured
from benchmarks.serving.models import numeric

_PEERS = Path(__file__).parent / "peers"
_ROOT = Path(__file__).parents[2]
_PEER = "mlflow_batch"
_MLFLOW_ROWS = 200_000
_RAW, _OURS, _HAND, _MLFLOW = "bare onnxruntime", "Shipway", "pandas by hand", "MLflow"


@dataclass
class Taken:
    """Rows a second of each, and the memory of ours."""

    rates: dict[str, list[float]] = field(default_factory=dict)
    peak_mb: float = 0.0

    def add(self, who: str, rows: float, seconds: float) -> None:
        """Note one run."""
        self.rates.setdefault(who, []).append(rows / seconds)

    def rate(self, who: str) -> float:
        """The median, in rows a second."""
        return median(self.rates[who])


def main(words: Sequence[str]) -> int:
    """Do what *words* say; 4 where the peer is not installed."""
    given = _parser().parse_args(words)
    say = Console(stderr=True)
    try:
        environments.install(_PEER, say.print, _PEERS)
        if given.install:
            return 0
        with tempfile.TemporaryDirectory(prefix="shipway-bench-") as folder:
            taken = measured(Path(folder), quick=given.quick, say=say)
    except Unmeasured as reason:
        say.print(str(reason).replace("bench-serving", "bench-batch"))
        return 4
    tell = Console(stderr=given.json)
    tell.print(_table(taken))
    if given.json:
        print(json.dumps(_document(taken), allow_nan=False))
    return 0


def measured(folder: Path, *, quick: bool, say: Console) -> Taken:
    """All take turns on one core: 1 M rows a round with *quick*, else 5 M, and 50 M for memory."""
    say.print("Making the model and the table …")
    numeric(folder / "project")
    table = _rows(folder, 1_000_000 if quick else 5_000_000)
    taken = Taken()
    project, graph = folder / "project", folder / "project" / "plain.onnx"
    python = environments.python_of(_PEER, _PEERS)
    core = str(min(os.sched_getaffinity(0)))
    program = str(_PEERS / f"{_PEER}_program.py")
    peer = Side(["taskset", "-c", core, str(python), program, str(graph)], folder / "log")
    for number in range(3):
        say.print(f"Round {number + 1} of 3 …")
        raw = _child("raw", str(graph), str(table))
        taken.add(_RAW, raw["rows"], raw["seconds"])
        ours = _child(str(project), str(table), str(folder / "ours.parquet"))
        taken.add(_OURS, ours["rows"], ours["seconds"])
        taken.peak_mb = ours["peak_mb"]
        seconds, rows = peer.ask(f"by_hand {table} {folder / 'hand.parquet'}")
        taken.add(_HAND, int(str(rows)), seconds)
    peer.ask(f"save {folder / 'mlflow'}")
    peer.end()
    say.print(f"MLflow, on {_MLFLOW_ROWS:,} rows of CSV …")
    taken.add(_MLFLOW, _MLFLOW_ROWS, _mlflow_s(folder, table, str(python), core))
    if not quick:
        say.print("Fifty million rows, for their memory …")
        many = _rows(folder, 50_000_000)
        taken.peak_mb = _child(str(project), str(many), str(folder / "ours.parquet"))["peak_mb"]
    return taken


def _rows(folder: Path, count: int) -> Path:
    """So many rows like those of the training table, written a million at a time."""
    train = pl.read_parquet(folder / "project" / "train.parquet").drop("malignant")
    draw = np.random.default_rng(7)
    parts = []
    for start in range(0, count, 1_000_000):
        rows = min(1_000_000, count - start)
        taken = train[draw.integers(0, train.height, rows)]
        path = folder / f"part-{start}.parquet"
        taken.with_columns(
            pl.col(name) * pl.Series(draw.uniform(0.99, 1.01, rows)) for name in train.columns
        ).write_parquet(path)
        parts.append(path)
    table = folder / f"table-{count}.parquet"
    pl.scan_parquet(parts).sink_parquet(table)
    for path in parts:
        path.unlink()
    return table


def _child(*words: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.batches.scoring", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )
    if done.returncode:
        raise Unmeasured(done.stderr[-400:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _mlflow_s(folder: Path, table: Path, python: str, core: str) -> float:
    given = folder / "rows.csv"
    pl.scan_parquet(table).head(_MLFLOW_ROWS).sink_csv(given)
    words = ["models", "predict", "-m", str(folder / "mlflow"), "-i", str(given), "-t", "csv"]
    words += ["-o", str(folder / "mlflow.json"), "--env-manager", "local"]
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    began = time.perf_counter()
    done = subprocess.run(
        ["taskset", "-c", core, python, "-m", "mlflow", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    if done.returncode:
        raise Unmeasured(done.stderr[-400:])
    return time.perf_counter() - began


def _table(taken: Taken) -> Table:
    shown = Table(title="Scoring on one core: median rows/s", title_justify="left")
    shown.add_column("who")
    shown.add_column("rows/s", justify="right")
    shown.add_column("Shipway is so many times faster", justify="right")
    for who in taken.rates:
        times = "" if who == _OURS else f"{taken.rate(_OURS) / taken.rate(who):.2f}"
        shown.add_row(who, f"{taken.rate(who):,.0f}", times)
    shown.caption = f"Shipway's memory at its peak: {taken.peak_mb:,.0f} MB"
    return shown


def _document(taken: Taken) -> dict[str, dict[str, float | str]]:
    ours = taken.rate(_OURS)
    bars = {
        "share of the bare runtime": (ours / taken.rate(_RAW), 0.7, "higher"),
        "times a pandas loop": (ours / taken.rate(_HAND), 5.0, "higher"),
        "times mlflow models predict": (ours / taken.rate(_MLFLOW), 10.0, "higher"),
        "peak memory, MB": (taken.peak_mb, 600.0, "lower"),
    }
    return {
        name: {"value": round(value, 3), "bar": bar, "better": better}
        for name, (value, bar, better) in bars.items()
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-batch", description=__doc__)
    add = parser.add_argument
    add("--install", action="store_true", help="only make the peer's environment")
    add("--quick", action="store_true", help="a million rows, in about a minute")
    add("--json", action="store_true", help="end with the bars as one line of JSON on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
