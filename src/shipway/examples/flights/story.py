"""The whole life of one model on real flights, as ``shipway demo`` tells it.

Train, pack, gate, serve, watch a year go by, be alarmed, retrain, promote, break it, roll back.
Nothing here knows a shortcut: every step is the api that a user has, and the server is the one
that ``shipway serve`` starts.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from shipway.api.candidate import Candidate
from shipway.api.contract import infer_contract
from shipway.api.gate import GateReport, gate
from shipway.api.pack import pack, publish
from shipway.api.promote import promote
from shipway.bootstrap.project import Project, open_project
from shipway.errors import UsageError
from shipway.evidence.verdict import Verdict
from shipway.examples.flights.data import TARGET, TIME, load_flights
from shipway.examples.flights.narrator import Narrator
from shipway.examples.flights.summary import GateLine, SwitchLine
from shipway.examples.flights.training import train

TEST_FROM = datetime(2013, 3, 8, tzinfo=UTC)
LIVE_FROM = datetime(2013, 4, 1, tzinfo=UTC)
YEAR_END = datetime(2014, 1, 1, 12, tzinfo=UTC)
HELD_OUT = timedelta(days=14)
FAST_SHARE = 6
MARKER = ".shipway-demo"

SETTINGS = """\
# What good means for this model, and how it is operated.
[model]
name = "flight-delay"
task = "binary-classification"
decision = "Warn the passenger that the flight will arrive over 15 minutes late"
target = "late"
time = "scheduled_departure"
positive = "1"

[data]
train = "data/train.parquet"
test = "data/test.parquet"

[[objectives]]
metric = "roc_auc"
at_least = 0.60
better_than = "live"

[[objectives]]
metric = "cost_per_1000"
better_than = "baseline"

[[objectives]]
metric = "latency_p99_ms"
at_most = 250.0

[[objectives]]
metric = "error_rate"
at_most = 0.02

[costs]
false_positive = 1.0                  # a needless warning
false_negative = 5.0                  # a passenger who was not warned

[baseline]
kind = "always-positive"              # warning every passenger needs no model

[retrain]
command = "python train.py"
when = ["roc_auc", "cost_per_1000"]
"""


@dataclass
class Story:
    """What the story has done so far; ``fast`` lives the same year with every sixth flight."""

    folder: Path
    narrator: Narrator
    fast: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    gates: list[GateLine] = field(default_factory=list)
    switches: list[SwitchLine] = field(default_factory=list)
    about: dict[int, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @contextmanager
    def chapter(self, name: str, title: str) -> Iterator[None]:
        """Announce a chapter and take its time."""
        self.narrator.step(title)
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def prepare(self) -> tuple[pl.DataFrame, Project]:
        """The year's flights, and a fresh project whose model has learned from its beginning."""
        with self.chapter("data", "336,776 real flights, and the weather before each"):
            clear(self.folder)
            flights = load_flights()
            self.narrator.say(f"{flights.height:,} flights with {flights.width - 2} features each")
        with self.chapter(
            "train", "Train on January to early March; the rest of March is the test"
        ):
            early = flights.filter(pl.col(TIME) < TEST_FROM, pl.col(TARGET).is_not_null())
            test = flights.filter(
                pl.col(TIME).is_between(TEST_FROM, LIVE_FROM, closed="left"),
                pl.col(TARGET).is_not_null(),
            )
            early.write_parquet(self.folder / "data" / "train.parquet")
            test.write_parquet(self.folder / "data" / "test.parquet")
            train(early, self.folder / "model.joblib")
            train(early, self.folder / "shuffled.joblib", shuffle_labels=True)
            (self.folder / "shipway.toml").write_text(SETTINGS, encoding="utf-8")
            project = open_project(self.folder)
            contract = infer_contract(project).contract
            self.narrator.say(
                f"learned from {early.height:,} flights; contract.yaml promises"
                f" {len(contract.features)} features; shipway.toml says what mistakes cost"
            )
        return flights, project

    def first_version(self, project: Project) -> None:
        """Pack, gate and promote version 1; refuse a model that has learned nothing."""
        with self.chapter("pack", "Pack: to ONNX, proved on real rows, published with its lineage"):
            candidate = self.packed(project, "model.joblib")
            first = self.published(project, candidate, "trained on January to early March")
        with self.chapter(
            "gate", "Gate: on later days than it was trained on, whole days resampled"
        ):
            report = self.gated(project, first, "version 1", "trained in good faith")
            if report.verdict is not Verdict.PASS:
                self.missing.append("version 1 did not pass its gate")
            shuffled = self.packed(project, "shuffled.joblib")
            refused = self.gated(project, shuffled, "shuffled labels", "learned from nonsense")
            if refused.verdict is not Verdict.FAIL:
                self.missing.append("the model trained on shuffled labels was not refused")
            promote(project, "1", reason="first version", force=report.verdict is not Verdict.PASS)

    def packed(self, project: Project, model: str, *, data: Path | None = None) -> Candidate:
        """A candidate from one of the story's own pickles, which it may trust.

        It is proved on rows of its training table, which is *data* or that of the settings.
        """
        candidate, result = pack(
            project,
            self.folder / model,
            trust_pickle=True,
            data=data,
            progress=self.narrator.progress,
        )
        if result.parity is None:
            self.missing.append(f"{model} was packed without a parity report")
        else:
            self.narrator.say(
                f"{model} as {result.format}: over {result.parity.rows:,} rows the largest"
                f" difference is {result.parity.largest_difference:.1e},"
                f" {result.parity.flipped} decisions flipped"
            )
        return candidate

    def published(self, project: Project, candidate: Candidate, about: str) -> Candidate:
        """Publish *candidate*, remembering in words what it is."""
        done = publish(project, candidate)
        if done.version is not None:
            self.about[done.version.number] = about
            self.narrator.say(f"published {done.name}, {done.version.digest[:19]}…")
        return done

    def gated(
        self,
        project: Project,
        candidate: Candidate,
        name: str,
        about: str,
        data: Path | None = None,
    ) -> GateReport:
        """Gate *candidate* and remember the verdict with its reasons."""
        report = gate(project, candidate, data=data, progress=self.narrator.progress)
        self.narrator.gated(f"{name}: {about}", report)
        reasons = tuple(
            judgement.reason
            for judgement in report.judgements
            if judgement.verdict is not Verdict.PASS
        )
        self.gates.append(
            GateLine(candidate=name, about=about, verdict=str(report.verdict), reasons=reasons)
        )
        return report


def clear(folder: Path) -> None:
    """Make *folder* an empty one for the story.

    Raises :class:`~shipway.errors.UsageError` rather than empty a folder that no demo has made.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UsageError(
            f"{folder} is not empty and was not made by a demo",
            next_step="name another folder with `shipway demo --folder FOLDER`",
        )
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    (folder / MARKER).touch()
