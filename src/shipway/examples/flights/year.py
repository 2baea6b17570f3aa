"""April to December: requests, truths, weekly judgements, an alarm, a better model, a bad one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from shipway.api.candidate import Candidate
from shipway.api.contract import infer_contract
from shipway.api.monitor import Watch, raise_alerts
from shipway.api.promote import promote
from shipway.bootstrap.project import Project
from shipway.domain.times import iso
from shipway.errors import GateRefused
from shipway.evidence.verdict import Verdict
from shipway.examples.flights.data import TIME
from shipway.examples.flights.replay import LABEL_DELAY, Replay
from shipway.examples.flights.served import shipway
from shipway.examples.flights.story import HELD_OUT, Story
from shipway.examples.flights.summary import AlertLine, SwitchLine, WeekLine
from shipway.examples.flights.training import train, train_broken
from shipway.monitoring.findings import WindowReport
from shipway.monitoring.window import Window

AHEAD = timedelta(days=8)
FAR_AHEAD = timedelta(days=45)
PAUSE_S = 0.02
DRILL_AFTER_WEEKS = 8
DRILL_REQUESTS = 40


@dataclass
class Year:
    """The replay, the watch over it, and what has come of them."""

    story: Story
    project: Project
    replay: Replay
    watch: Watch
    reports: list[WindowReport] = field(default_factory=list)
    week_lines: list[WeekLine] = field(default_factory=list)
    alert_lines: list[AlertLine] = field(default_factory=list)
    promoted: int | None = None
    promoted_in: int = 0
    rolled_back: int | None = None

    def live(self, weeks: list[Window]) -> None:
        """Live through *weeks*: while one is judged, the next is under way."""
        self.replay.start()
        for position, week in enumerate(weeks):
            self.replay.release(week.until + AHEAD)
            self.replay.wait_for(week.until + LABEL_DELAY)
            self.judge(week)
            if self.promoted is None and self.alert_lines:
                self.retrain(week, position)
            elif self.promoted and position == self.promoted_in + DRILL_AFTER_WEEKS:
                self.drill(week)
        self.replay.release(weeks[-1].until + FAR_AHEAD)
        self.replay.join()
        self.replay.reraise()

    def judge(self, week: Window) -> None:
        """Assess one finished week as ``shipway monitor`` does, and hear of new alerts."""
        start = time.perf_counter()
        report = self.watch.assess(self.watch.frame(), week)
        self.reports.append(report)
        line = week_line(report)
        self.week_lines.append(line)
        self.story.narrator.weeks([line])
        alerts, _, _ = raise_alerts(self.project, [report])
        for alert in alerts:
            told = AlertLine(
                week=week.name,
                objective=alert.objective,
                summary=alert.summary,
                moved=alert.moved,
                explanation=alert.explanation,
            )
            self.alert_lines.append(told)
            self.story.narrator.alert(told)
        self._took("monitor", start)

    def retrain(self, week: Window, position: int) -> None:
        """Train on every month whose labels have matured; promote the model if the gate agrees."""
        start = time.perf_counter()
        story, until = self.story, week.until
        story.narrator.say(f"retraining on everything known by {iso(until)[:10]}")
        model, data = self._trained(until, train, "retrained")
        candidate = story.packed(self.project, model, data=data / "train.parquet")
        report = story.gated(
            self.project,
            candidate,
            f"retrained {iso(until)[:10]}",
            f"all months before {iso(until - HELD_OUT)[:10]}, judged on the 14 days after",
            data=data / "test.parquet",
        )
        if report.verdict is Verdict.PASS:
            published = story.published(
                self.project, candidate, f"retrained on all flights before {iso(until)[:10]}"
            )
            story.gated(
                self.project,
                published,
                f"version {number_of(published)}",
                "the same, published",
                data=data / "test.parquet",
            )
            self.promoted, self.promoted_in = number_of(published), position
            self._switch("promote", week, lambda: self._promote(published))
        self._took("retrain", start)

    def drill(self, week: Window) -> None:
        """Publish a faulty model, see it refused, force it, and roll it back with one command."""
        start = time.perf_counter()
        story = self.story
        story.narrator.say("a faulty model: a bug has left it without weights")
        model, data = self._trained(week.until, train_broken, "faulty")
        candidate = story.packed(self.project, model, data=data / "train.parquet")
        faulty = story.published(self.project, candidate, "faulty: answers the same for all")
        number = number_of(faulty)
        story.gated(
            self.project,
            faulty,
            f"version {number}",
            "a constant answer",
            data=data / "test.parquet",
        )
        try:
            promote(self.project, str(number))
            story.missing.append("the faulty version was promoted without force")
        except GateRefused as refused:
            story.narrator.say(f"refused: {refused.message}")
        self._switch("promote (forced)", week, lambda: self._promote(faulty, force=True))
        self._switch("rollback", week, self._roll_back)
        state = self.project.registry.endpoint(self.project.model)
        if state is not None and state.live == self.promoted:
            self.rolled_back = number
        self._took("drill", start)

    def _promote(self, candidate: Candidate, *, force: bool = False) -> int:
        reason = "a drill: the rollback is to be tried" if force else ""
        return promote(self.project, str(number_of(candidate)), force=force, reason=reason).live

    def _roll_back(self) -> int:
        shipway(self.story.folder, "rollback", "--reason", "the faulty version costs money")
        state = self.project.registry.endpoint(self.project.model)
        return state.live or 0 if state else 0

    def _switch(self, action: str, week: Window, change: Callable[[], int]) -> None:
        """Make *change* while requests go on before, during and after it."""
        self.replay.release(week.until + FAR_AHEAD)
        with self.replay.slowly(PAUSE_S):
            self.replay.wait_for_requests(1)
            endpoint = self.project.registry.endpoint(self.project.model)
            before = endpoint.live if endpoint else None
            asked, start = self.replay.tally.requests, time.perf_counter()
            live = change()
            seconds = time.perf_counter() - start
            meanwhile = self.replay.tally.requests - asked
            self.replay.wait_for_requests(DRILL_REQUESTS)
            self.replay.release(week.until)
        line = SwitchLine(
            action=action,
            before=before,
            live=live,
            week=week.name,
            requests_meanwhile=meanwhile,
            seconds=round(seconds, 3),
        )
        self.story.switches.append(line)
        self.story.narrator.say(
            f"{action}: version {before} → {live} in {seconds:.2f} s while {meanwhile} requests"
            f" were answered, {self.replay.tally.failed_requests} failed so far"
        )

    def _trained(
        self, until: datetime, fit: Callable[[pl.DataFrame, Path], None], name: str
    ) -> tuple[str, Path]:
        """Fit on what is known *until* now, but for the last two weeks, which are the test."""
        folder = self.story.folder
        stem = f"{name}-{until:%Y-%m-%d}"
        data = folder / "data" / stem
        data.mkdir(parents=True, exist_ok=True)
        first = [pl.read_parquet(folder / "data" / f"{part}.parquet") for part in ("train", "test")]
        known = pl.concat([*first, self.watch.labelled_rows(until).select(first[0].columns)])
        train_rows = known.filter(pl.col(TIME) < until - HELD_OUT)
        train_rows.write_parquet(data / "train.parquet")
        known.filter(pl.col(TIME) >= until - HELD_OUT).write_parquet(data / "test.parquet")
        fit(train_rows, folder / f"{stem}.joblib")
        infer_contract(self.project, data=data / "train.parquet", force=True)
        return f"{stem}.joblib", data

    def _took(self, chapter: str, start: float) -> None:
        seconds = self.story.seconds
        seconds[chapter] = seconds.get(chapter, 0.0) + time.perf_counter() - start


def number_of(candidate: Candidate) -> int:
    """The number of a published candidate."""
    return candidate.version.number if candidate.version else 0


def week_line(report: WindowReport) -> WeekLine:
    """One week's report in a line."""
    return WeekLine(
        week=report.window.name,
        predictions=report.predictions,
        matured=round(report.maturity.share, 4),
        versions={int(number): rows for number, rows in report.versions.items()},
        metrics={
            figures.metric: (
                figures.realised.value,
                figures.realised.low,
                figures.realised.high,
            )
            for figures in report.metrics
        },
        verdict=str(report.verdict),
        failing=tuple(judgement.objective.describe() for judgement in report.failing),
        moved=tuple(f"{feature.name} {feature.psi.value:.2f}" for feature in report.moved[:5]),
    )
