"""``python -m benchmarks``: some figures, or all, as a table and as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure
from benchmarks.flights import Workshop

NAMES = (
    "contract",
    "runtime",
    "gate",
    "registry",
    "events",
    "monitoring",
    "commands",
)
Benchmark = Callable[[Workshop], Iterator[Figure]]


def main(words: Sequence[str]) -> int:
    """Run what *words* name; 2 for a name that there is not."""
    parser = _parser()
    given = parser.parse_args(words)
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    say = Console(stderr=given.json)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as folder:
        workshop = Workshop(Path(folder) / "flights", given.quick)
        for name in given.names or NAMES:
            start = time.perf_counter()
            found = list(_benchmark(name)(workshop))
            figures += found
            say.print(_table(name, found, time.perf_counter() - start))
        workshop.close()
    if given.json:
        print(json.dumps(_document(figures), allow_nan=False))
    return 0


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {name:<12}{_sentence(name)}" for name in NAMES]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Figures of what Shipway costs on this machine; none of them is a test.",
        epilog="\n".join(["benchmarks:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to run; all by default")
    parser.add_argument("--quick", action="store_true", help="shorter and rougher")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout")
    return parser


def _benchmark(name: str) -> Benchmark:
    run: Benchmark = importlib.import_module(f"benchmarks.{name}").run
    return run


def _sentence(name: str) -> str:
    """The first sentence of the benchmark's module."""
    text = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
    return text.partition("\n\n")[0].replace("\n", " ").strip()


def _table(name: str, figures: Sequence[Figure], seconds: float) -> Table:
    table = Table(title=f"{name} ({seconds:.1f} s)", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("better")
    table.add_column("measured on")
    for one in figures:
        table.add_row(one.name, _shown(one.value), one.unit, one.better, one.note)
    return table


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _document(figures: Sequence[Figure]) -> dict[str, dict[str, str | float]]:
    return {
        one.name: {"value": round(one.value, 6), "unit": one.unit, "better": one.better}
        for one in figures
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
