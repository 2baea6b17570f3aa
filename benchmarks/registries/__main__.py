"""``make bench-registry``: publishing, loading and listing, Shipway beside MLflow on SQLite."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.registries import models, sides
from benchmarks.registries.sides import Side
from benchmarks.serving import environments
from benchmarks.serving.faults import Unmeasured

MANY = 10_000
_SHIPWAY, _MLFLOW = "Shipway", "MLflow"
_LOG_MODEL = "publish, by log_model"
_SYNCED = "publish, by log_model, then synced"
_CHEAPEST = "publish, the record and a copied file, unsynced"
_PUBLISH, _LOAD, _LIST = "publish, durable", "load", "list"


@dataclass
class Taken:
    """The seconds of each thing that was done, by whom and what."""

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, who: str, what: str, side: Side, line: str) -> object:
        """Have *side* do *line* and note how long it took."""
        seconds, result = side.ask(line)
        self.seconds.setdefault((who, what), []).append(seconds)
        return result

    def ms(self, who: str, what: str) -> float | None:
        """The median, in milliseconds."""
        found = self.seconds.get((who, what))
        return median(found) * 1e3 if found else None


def main(words: Sequence[str]) -> int:
    """Do what *words* say; 4 where the peer is not installed."""
    given = _parser().parse_args(words)
    say = Console(stderr=True)
    try:
        if given.install or not given.quick:
            environments.install(sides.MLFLOW, say.print, sides.PEERS)
        if given.install:
            return 0
        with tempfile.TemporaryDirectory(prefix="shipway-bench-") as folder:
            taken = measured(Path(folder), quick=given.quick, say=say)
    except Unmeasured as reason:
        say.print(str(reason).replace("bench-serving", "bench-registry"))
        return 4
    tell = Console(stderr=given.json)
    tell.print(table(taken))
    for note in taken.notes:
        tell.print(note)
    if given.json:
        print(json.dumps(document(taken), allow_nan=False))
    return 0


def measured(folder: Path, *, quick: bool, say: Console) -> Taken:
    """Both take turns, so that what else the machine does meets both."""
    taken = Taken()
    rounds = 8 if quick else 40
    names = models.make(folder / "models", 3 * rounds + 2)
    with ExitStack() as stack:
        ours = stack.enter_context(sides.shipway(folder, folder / "models"))
        theirs = stack.enter_context(sides.mlflow(folder, folder / "models"))
        ours.ask(f"publish {names.pop()}")  # what is loaded at first use is no part of it
        theirs.ask(f"publish {names.pop()}")
        say.print(f"Publishing {rounds} versions in each way …")
        pairs: list[tuple[object, object]] = []
        for _ in range(rounds):
            a, b, c = names.pop(), names.pop(), names.pop()
            our = taken.add(_SHIPWAY, _PUBLISH, ours, f"publish {a}")
            pairs.append((our, taken.add(_MLFLOW, _LOG_MODEL, theirs, f"publish {a}")))
            taken.add(_MLFLOW, _CHEAPEST, theirs, f"cheapest {b}")
            taken.add(_SHIPWAY, _PUBLISH, ours, f"publish {b}")
            if not quick:
                taken.add(_MLFLOW, _SYNCED, theirs, f"synced {c}")
        say.print("Loading them …")
        for our, their in pairs:
            taken.add(_SHIPWAY, _LOAD, ours, f"load {our}")
            taken.add(_MLFLOW, _LOAD, theirs, f"load {their}")
        for side in (ours, theirs):
            side.ask("close")
    _list(taken, folder, quick=quick, say=say)
    return taken


def _list(taken: Taken, folder: Path, *, quick: bool, say: Console) -> None:
    """Lists of many versions, which are made in memory: only reading them is measured."""
    with tempfile.TemporaryDirectory(prefix="shipway-bench-", dir=_memory(folder)) as made:
        place = Path(made)
        with sides.shipway(place, folder / "models") as ours:
            say.print(f"Filling a registry with {MANY:,} versions …")
            count = ours.ask(f"fill {MANY}")[1]
            taken.notes.append(f"list: {count:,} versions of one model")
            for _ in range(10):
                taken.add(_SHIPWAY, _LIST, ours, "list")
            ours.ask("close")
        if quick:
            taken.notes.append(
                "MLflow's list is measured without --quick: filling it takes minutes"
            )
            return
        with sides.mlflow(place, folder / "models") as theirs:
            say.print(f"Filling MLflow's registry with {MANY:,} versions …")
            theirs.ask(f"fill {MANY}")
            for _ in range(3):
                taken.add(_MLFLOW, _LIST, theirs, "list")
            theirs.ask("close")


def _memory(otherwise: Path) -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
    return memory if memory.is_dir() else otherwise


def table(taken: Taken) -> Table:
    """Every figure, ours first."""
    shown = Table(title="Registry: median milliseconds", title_justify="left")
    shown.add_column("what")
    shown.add_column("who")
    shown.add_column("ms", justify="right")
    shown.add_column("times Shipway's", justify="right")
    base = {_LIST: _LIST, _LOAD: _LOAD}
    for who, what in sorted(taken.seconds, key=lambda one: (one[1], one[0] != _SHIPWAY)):
        ours, this = taken.ms(_SHIPWAY, base.get(what, _PUBLISH)), taken.ms(who, what)
        assert this is not None
        times = "" if who == _SHIPWAY or not ours else f"{this / ours:.2f}"
        shown.add_row(what, who, f"{this:,.1f}", times)
    return shown


def document(taken: Taken) -> dict[str, dict[str, float | str]]:
    """Each bar, as ``--json`` prints it."""
    told: dict[str, dict[str, float | str]] = {}
    for name, ours, theirs in (
        ("publish, times MLflow", _PUBLISH, _LOG_MODEL),
        ("load, times MLflow", _LOAD, _LOAD),
    ):
        mine, other = taken.ms(_SHIPWAY, ours), taken.ms(_MLFLOW, theirs)
        if mine and other:
            told[name] = {"value": round(other / mine, 3), "bar": 2.0, "better": "higher"}
    listed = taken.ms(_SHIPWAY, _LIST)
    if listed:
        name = f"list of {MANY:,} versions, ms"
        told[name] = {"value": round(listed, 2), "bar": 100.0, "better": "lower"}
    return told


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-registry", description=__doc__)
    add = parser.add_argument
    add("--install", action="store_true", help="only make the peer's environment")
    add("--quick", action="store_true", help="only what the bars need, in under a minute")
    add("--json", action="store_true", help="end with the bars as one line of JSON on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
