"""The story from beginning to end, and what is said of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from shipway.api.card import card
from shipway.api.keys import create_key
from shipway.api.monitor import Watch
from shipway.bootstrap.project import Project
from shipway.examples.flights.data import TIME
from shipway.examples.flights.narrator import Narrator
from shipway.examples.flights.replay import Replay, Server
from shipway.examples.flights.served import served
from shipway.examples.flights.story import FAST_SHARE, LIVE_FROM, YEAR_END, Story
from shipway.examples.flights.summary import DemoSummary, VersionLine
from shipway.examples.flights.year import Year
from shipway.monitoring.alerts import alerts_path, load_state
from shipway.monitoring.report import write_report
from shipway.monitoring.window import Window, windows
from shipway.rollout.switch import latest_gate

ROWS, FAST_ROWS = 12, 3
"""Flights in one request: enough requests a week to tell what 1 % of them suffer."""


def tell(folder: Path, narrator: Narrator, *, fast: bool = False) -> DemoSummary:
    """Live the story in *folder*, which is emptied first if a demo has made it.

    With *fast* every sixth flight stands for all from April on. Raises what a step raises; a
    step that ends other than the story says is named in ``missing``.
    """
    began = time.perf_counter()
    story = Story(folder, narrator, fast=fast)
    flights, project = story.prepare()
    with project:
        story.first_version(project)
        key = create_key(project, name="demo", scopes=("predict", "label", "view"))
        later = flights.filter(pl.col(TIME) >= LIVE_FROM)
        asked = later.gather_every(FAST_SHARE) if fast else later
        narrator.step("Serve, with authentication on")
        start = time.perf_counter()
        with served(folder, project.home / "run") as record:
            story.seconds["serve"] = time.perf_counter() - start
            narrator.say(f"{record.url} answers predictions, {record.control_url} takes labels")
            server = Server(record.url, record.control_url, project.model, key.secret)
            with story.chapter("year", f"April to December: {asked.height:,} flights over HTTP"):
                year = _live(story, project, server, asked)
        with story.chapter("documents", "Report and model card, from the records"):
            report = _report(project, year)
            written = card(project, version=str(year.promoted or 1), out=folder / "card")
        story.seconds["total"] = time.perf_counter() - began
        return _summary(story, project, year, flights, server, written.html, report)


def _live(story: Story, project: Project, server: Server, asked: pl.DataFrame) -> Year:
    with story.narrator.progress.start("Flights", asked.height, "flights") as task:
        replay = Replay(server, asked, task, most_rows=FAST_ROWS if story.fast else ROWS)
        year = Year(story, project, replay, Watch(project))
        try:
            year.live(_weeks(asked))
        finally:
            replay.stop()
            replay.join()
    return year


def _weeks(asked: pl.DataFrame) -> list[Window]:
    last = asked[TIME].max()
    end = last if isinstance(last, datetime) else YEAR_END
    return windows(LIVE_FROM, end, "week")


def _report(project: Project, year: Year) -> str:
    path = project.folder / "monitoring.html"
    state = load_state(alerts_path(project.home))
    write_report(path, year.reports, alerts=state, generated_at=project.clock())
    return str(path)


def _summary(
    story: Story,
    project: Project,
    year: Year,
    flights: pl.DataFrame,
    server: Server,
    card_path: str,
    report: str,
) -> DemoSummary:
    tally = year.replay.tally
    frame = year.watch.frame()
    state = project.registry.endpoint(project.model)
    joined = frame.filter(pl.col("truth").is_not_null()).height if "truth" in frame else 0
    return DemoSummary(
        fast=story.fast,
        flights=flights.height,
        predictions=tally.predictions,
        requests=tally.requests,
        failed_requests=tally.failed_requests,
        labels_joined=joined,
        weeks=tuple(year.week_lines),
        alerts=tuple(year.alert_lines),
        gates=tuple(story.gates),
        versions=_versions(project, story.about, tally.by_version),
        switches=tuple(story.switches),
        promoted=year.promoted,
        rolled_back=year.rolled_back,
        live=state.live if state else None,
        card=card_path,
        report=report,
        url=server.url,
        call=_how_to_call(project),
        seconds={name: round(seconds, 2) for name, seconds in story.seconds.items()},
        missing=tuple(_missing(story, year, joined)),
    )


def _missing(story: Story, year: Year, joined: int) -> Sequence[str]:
    """Every step of the story that did not happen."""
    tally = year.replay.tally
    expected = {
        "no prediction was made": tally.predictions > 0,
        f"{tally.failed_requests} requests failed, first: {tally.first_failure}": (
            tally.failed_requests == 0
        ),
        f"{tally.labels} labels were told and {joined} joined": joined == tally.labels > 0,
        "no alert was raised": bool(year.alert_lines),
        "no retrained model passed its gate": year.promoted is not None,
        "the faulty version was not rolled back": year.rolled_back is not None,
        "a switch happened while no request was answered": all(
            line.requests_meanwhile > 0 for line in story.switches
        ),
    }
    return [*story.missing, *(what for what, happened in expected.items() if not happened)]


def _versions(
    project: Project, about: dict[int, str], answered: dict[str, int]
) -> tuple[VersionLine, ...]:
    lines = []
    for version in project.registry.versions(project.model):
        gate = latest_gate(project.registry, version)
        lines.append(
            VersionLine(
                number=version.number,
                about=about.get(version.number, ""),
                format=version.manifest.spec.format,
                verdict=gate.verdict if gate else "",
                predictions=answered.get(str(version.number), 0),
            )
        )
    return tuple(lines)


def _how_to_call(project: Project) -> str:
    """Two commands: serve it again, and ask it."""
    features = [column for column in project.contract.features if column.example is not None]
    row = {column.name: column.example for column in features}
    asked = msgspec.json.encode(row).decode()
    return (
        f"shipway serve --project {project.folder}\n"
        f"shipway predict '{asked}' --project {project.folder} --key KEY"
    )
