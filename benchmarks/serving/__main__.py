"""``make bench-serving``: Shipway and its peers side by side, as tables, as JSON, as a plot."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.serving import bars, plot, report, runs
from benchmarks.serving.faults import Unmeasured
from benchmarks.serving.results import Results


def main(words: Sequence[str]) -> int:
    """Do what *words* say; 4 where the machine lacks what is needed."""
    given = _parser().parse_args(words)
    say = Console(stderr=True)
    tell = Console(stderr=given.json)
    if given.install:
        runs.install(say.print)
        return 0
    try:
        results = _read(given.run) if given.run else _run(quick=given.quick, say=say)
    except Unmeasured as reason:
        say.print(str(reason))
        return 4
    tell.print(results.machine)
    for table in report.tables(results):
        tell.print(table)
    if given.save:
        given.save.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    if given.plot:
        given.plot.write_text(plot.drawn(results), encoding="utf-8")
    if given.json:
        print(json.dumps(bars.document(results), allow_nan=False))
    return 0


def _run(*, quick: bool, say: Console) -> Results:
    if not quick:
        runs.install(say.print)
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as folder:
        return runs.run(runs.Plan(quick, Path(folder), say.print))


def _read(path: Path) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-serving", description=__doc__)
    add = parser.add_argument
    add("--install", action="store_true", help="only make the peers' environments")
    add("--quick", action="store_true", help="only what the bars need, of the peers that are there")
    add("--json", action="store_true", help="end with the bars as one line of JSON on stdout")
    add("--save", type=Path, metavar="FILE", help="keep the whole run as JSON")
    add("--run", type=Path, metavar="FILE", help="measure nothing: show a run that was kept")
    add("--plot", type=Path, metavar="FILE", help="draw the run as SVG")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
