"""``make bench-contract``: a table of 1 M x 30 and a request of 30 numbers, beside others."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.contracts.table import CATEGORIES, HIGH, LOW, NUMBERS, contract, rows
from benchmarks.registries.sides import Side
from benchmarks.serving import environments
from benchmarks.serving.faults import Unmeasured
from shipway.contract.block import Layout, RowMajor
from shipway.contract.compiled import CompiledContract
from shipway.contract.requests import RequestChecker
from shipway.contract.schema import Contract
from shipway.contract.together import BatchChecker

_PEERS = Path(__file__).parent / "peers"
_PANDERA = "pandera_polars"
_ROWS = 1_000_000
_CALLS = 20_000


def main(words: Sequence[str]) -> int:
    """Do what *words* say."""
    given = _parser().parse_args(words)
    say = Console(stderr=True)
    try:
        environments.install(_PANDERA, say.print, _PEERS)
        if given.install:
            return 0
        figures = measured(rounds=5 if given.quick else 15)
    except Unmeasured as reason:
        say.print(str(reason).replace("bench-serving", "bench-contract"))
        return 4
    tell = Console(stderr=given.json)
    tell.print(_table(figures))
    if given.json:
        print(json.dumps(_document(figures), allow_nan=False))
    return 0


def measured(rounds: int) -> dict[str, float]:
    """Seconds of each; all take turns, so that what else the machine does meets all."""
    frame, compiled = rows(_ROWS), CompiledContract(contract())
    taken: dict[str, list[float]] = {"Shipway": [], "polars by hand": [], "pandera": []}
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as folder:
        frame.write_parquet(f"{folder}/table.parquet")
        program = _PEERS / f"{_PANDERA}_program.py"
        python = str(environments.python_of(_PANDERA, _PEERS))
        peer = Side([python, str(program), f"{folder}/table.parquet"], Path(folder) / "log")
        peer.ask("check")
        for _ in range(rounds):
            taken["Shipway"].append(_seconds(lambda: _shipway(compiled, frame)))
            taken["polars by hand"].append(_seconds(lambda: _by_hand(frame)))
            taken["pandera"].append(peer.ask("check")[0])
        peer.end()
    found = {who: median(seconds) for who, seconds in taken.items()}
    found["a request of 30 numbers"] = _request_s()
    return found


def _shipway(compiled: CompiledContract, frame: pl.DataFrame) -> None:
    assert compiled.check_frame(frame).ok


def _by_hand(frame: pl.DataFrame) -> None:
    rules = []
    for name in frame.columns:
        column = pl.col(name)
        if name.startswith("n"):
            broken = ~column.is_in(CATEGORIES)
        else:
            broken = ~column.is_between(LOW, HIGH)
        rules += [column.null_count().alias(f"{name} null"), broken.sum().alias(name)]
    assert sum(frame.select(rules).select(pl.all().exclude("^.* null$")).row(0)) == 0


def _request_s() -> float:
    """One row of thirty numbers as the server checks it."""
    numbers = [one for one in contract().columns if one.name.startswith("x")]
    wide = [*numbers, *(type(one)(name=f"y{i}", kind=one.kind) for i, one in enumerate(numbers))]
    promise = Contract(model="m", task=contract().task, columns=tuple(wide[:30]))
    layout = Layout.of(promise)
    assert layout is not None
    checker = BatchChecker(promise, RequestChecker(promise))
    values = [float(number) for number in range(1, 31)]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(_CALLS):
            assert checker.check([RowMajor(layout, values, 1)]) is not None
        times.append((time.perf_counter() - began) / _CALLS)
    return median(times)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _table(figures: dict[str, float]) -> Table:
    shown = Table(title=f"Contract: {_ROWS:,} x {NUMBERS + 6}, median", title_justify="left")
    shown.add_column("what")
    shown.add_column("ms", justify="right")
    shown.add_column("times Shipway's", justify="right")
    for what, seconds in figures.items():
        times = "" if "request" in what else f"{seconds / figures['Shipway']:.2f}"
        shown.add_row(what, f"{seconds * 1e3:,.4g}", times)
    return shown


def _document(figures: dict[str, float]) -> dict[str, dict[str, float | str]]:
    ours = figures["Shipway"]
    return {
        "table, times polars by hand": {
            "value": round(ours / figures["polars by hand"], 3), "bar": 2.0, "better": "lower",
        },
        "table, times faster than pandera": {
            "value": round(figures["pandera"] / ours, 3), "bar": 3.0, "better": "higher",
        },
        "request of 30 numbers, µs": {
            "value": round(figures["a request of 30 numbers"] * 1e6, 2), "bar": 10.0,
            "better": "lower",
        },
    }  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-contract", description=__doc__)
    add = parser.add_argument
    add("--install", action="store_true", help="only make the peer's environment")
    add("--quick", action="store_true", help="fewer rounds")
    add("--json", action="store_true", help="end with the bars as one line of JSON on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
