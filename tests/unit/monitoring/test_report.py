"""The report: one page, whole without a network, safe whatever the names are."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from shipway.errors import NotEnoughData
from shipway.monitoring.alerts import AlertState, advance
from shipway.monitoring.assess import assess
from shipway.monitoring.figures import figures
from shipway.monitoring.findings import WindowReport
from shipway.monitoring.report import render_report
from shipway.monitoring.window import Window

World = Any  # the class stands in conftest, which cannot be imported
NOW = datetime(2013, 6, 1, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028'\"{{7*7}}"


class Page(HTMLParser):
    """The elements of a page, the text of its scripts, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.seen = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Remember the text."""
        if self.tags and self.tags[-1][0] == "script" and self.lasttag == "script":
            self.scripts.append(data)
        elif self.lasttag != "style":
            self.seen += data


@pytest.fixture(scope="module")
def reports(world: World) -> list[WindowReport]:
    """Three weeks: a quiet one, one with covariate and one with concept drift."""
    weeks = [
        Window(world.window.since + timedelta(weeks=k), world.window.until + timedelta(weeks=k))
        for k in range(3)
    ]
    kinds: list[dict[str, float]] = [{}, {"spread": 0.4}, {"slope": -0.2}]
    return [
        assess(
            world.frame(rows=1500, window=window, **kind),
            contract=world.contract,
            objectives=world.objectives,
            window=window,
            reference=world.reference,
        )
        for window, kind in zip(weeks, kinds, strict=True)
    ]


@pytest.fixture(scope="module")
def state(reports: list[WindowReport]) -> AlertState:
    """The alerts that these weeks raise."""
    state = AlertState()
    for report in reports:
        state = advance(state, report, now=NOW)
    return state


def test_a_report_asks_no_network_for_anything(
    reports: list[WindowReport], state: AlertState
) -> None:
    """No element fetches, and the page's own policy forbids it."""
    page = Page(render_report(reports, alerts=state, generated_at=NOW))
    for tag, attributes in page.tags:
        assert tag not in {"img", "iframe", "link", "object", "embed", "form"}
        assert not {"src", "href", "action"} & set(attributes)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy


def test_the_policy_lets_exactly_the_pages_own_scripts_run(reports: list[WindowReport]) -> None:
    """Each script's hash is in it, and nothing else is."""
    html = render_report(reports, generated_at=NOW)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts}
    assert set(re.findall(r"'sha256-([^']+)'", unescape(html[:4000]))) == hashes
    assert len(scripts) == 2


def test_the_tables_tell_all_without_scripts(
    reports: list[WindowReport], state: AlertState
) -> None:
    """Every window, verdict, alert and explanation stands in the text of the page."""
    seen = Page(render_report(reports, alerts=state, generated_at=NOW)).seen
    for report in reports:
        assert report.window.name in seen
    for alert in state.open:
        assert alert.summary in seen
        assert alert.explanation in seen
    assert "accuracy at least 0.7" in seen
    assert "The plots need JavaScript" in seen


def test_hostile_names_stay_text(reports: list[WindowReport], state: AlertState) -> None:
    """Markup in the name of a feature, a model or a code is shown and not run."""
    last = reports[-1]
    features = tuple(
        msgspec.structs.replace(
            feature,
            name=HOSTILE,
            bins=tuple(msgspec.structs.replace(b, name=HOSTILE) for b in feature.bins),
        )
        for feature in last.features
    )
    hostile = msgspec.structs.replace(last, model=HOSTILE, features=features, notes=(HOSTILE,))
    plain = Page(render_report(reports, alerts=state, generated_at=NOW))
    html = render_report([*reports[:-1], hostile], alerts=state, generated_at=NOW)
    page = Page(html)
    assert [tag for tag, _ in page.tags if tag in {"img", "script"}] == [
        tag for tag, _ in plain.tags if tag == "script"
    ]
    assert "<img" not in html.split("<script>")[0]
    assert HOSTILE in page.seen
    assert "49" not in [word for word in page.seen.split() if "7*7" in word]


def test_the_plots_data_survive_the_page(reports: list[WindowReport]) -> None:
    """What a script reads from the page is what was put in."""
    html = render_report(reports, generated_at=NOW)
    block = re.search(r'<script type="application/json" id="plots">(.*?)</script>', html)
    assert block is not None
    read = msgspec.json.decode(block[1])
    assert read == msgspec.json.decode(msgspec.json.encode(figures(reports)))
    assert {f"plot-{plot['id']}" for plot in read} <= set(re.findall(r'id="([^"]+)"', html))


def test_plots_show_realised_estimated_and_target(reports: list[WindowReport]) -> None:
    """In the order of time, whatever order the reports come in."""
    accuracy = next(plot for plot in figures(reports) if plot["id"] == "metric-accuracy")
    assert [trace["name"] for trace in accuracy["data"]][:3] == [
        "realised",
        "estimated without labels",
        "at least 0.7",
    ]
    assert accuracy["data"][0]["marker"]["symbol"] == ["circle", "x", "x"]
    shuffled = render_report([reports[2], reports[0], reports[1]], generated_at=NOW)
    assert shuffled == render_report(reports, generated_at=NOW)


def test_labels_of_plots_are_escaped_for_plotly(reports: list[WindowReport]) -> None:
    """Plotly reads a little HTML in labels; none of it may come from data."""
    features = tuple(msgspec.structs.replace(f, name=HOSTILE) for f in reports[0].features)
    hostile = [msgspec.structs.replace(reports[0], features=features)]
    drift = next(plot for plot in figures(hostile) if plot["id"] == "drift")
    assert all("<" not in name for name in drift["data"][0]["y"])


def test_no_window_is_an_error_with_a_next_step() -> None:
    """Not an empty page."""
    with pytest.raises(NotEnoughData, match="no window"):
        render_report([], generated_at=NOW)


def test_a_window_with_nothing_in_it_is_rendered(world: World) -> None:
    """No labels, no reference, no predictions: dashes, not a crash."""
    report = assess(
        world.frame(rows=5, labelled=0.0).clear(),
        contract=world.contract,
        objectives=world.objectives,
        window=world.window,
    )
    assert "not labelled" not in Page(render_report([report], generated_at=NOW)).seen
