"""The report: one HTML file that needs no network, no server and, for its tables, no JavaScript.

The page is made of the template and plotly's own script, which the installed ``plotly`` wheel
carries. Names and values come from users' data: Jinja escapes all of them, the plots' data lie in
a JSON block without angle brackets, and a content security policy lets exactly the two scripts
of this file run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2
import msgspec
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from shipway.domain.times import iso
from shipway.durable import SHARED, private_folder, replace_file, storing
from shipway.errors import NotEnoughData
from shipway.evidence.judge import BETTER_THAN
from shipway.evidence.verdict import Judgement, Measurement, Verdict
from shipway.monitoring.alerts import AlertState
from shipway.monitoring.figures import figures
from shipway.monitoring.findings import WindowReport

TEMPLATE = "report.html.j2"
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render_report(
    reports: Sequence[WindowReport],
    *,
    alerts: AlertState | None = None,
    generated_at: datetime,
    title: str = "",
) -> str:
    """The HTML of *reports*, which are of one model, in any order.

    Raises :class:`~shipway.errors.NotEnoughData` without any.
    """
    if not reports:
        raise NotEnoughData(
            "there is no window to report on: no prediction has been kept yet",
            next_step="send requests to the server, then run this again",
        )
    ordered = sorted(reports, key=lambda report: report.window.since)
    plots = figures(ordered)
    environment = _environment()
    draw = environment.get_template("draw.js").render()
    library = get_plotlyjs()
    shown = ordered[-1]
    state = alerts or AlertState()
    return environment.get_template(TEMPLATE).render(
        title=title or f"{shown.model}: monitoring",
        generated_at=iso(generated_at.replace(microsecond=0)),
        reports=ordered,
        objectives=_objectives(ordered),
        latest=shown,
        latest_judged=next((r for r in reversed(ordered) if r.maturity.matured), shown),
        open_alerts=[alert for alert in state.open if alert.model == shown.model],
        resolved_alerts=[alert for alert in state.resolved if alert.model == shown.model],
        plots=plots,
        plot_data=Markup(_embedded(plots)),  # noqa: S704 - without angle brackets
        style=Markup(environment.get_template("report.css").render()),  # noqa: S704 - our own
        library=Markup(library),  # noqa: S704 - plotly's, as installed
        draw=Markup(draw),  # noqa: S704 - our own
        script_hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in (library, draw)),
    )


def write_report(
    path: Path,
    reports: Sequence[WindowReport],
    *,
    alerts: AlertState | None = None,
    generated_at: datetime,
    title: str = "",
) -> Path:
    """Write the HTML of *reports* to *path*, whole or not at all, and give *path* back."""
    html = render_report(reports, alerts=alerts, generated_at=generated_at, title=title)
    with storing(path):
        private_folder(path.parent)
        replace_file(path, html.encode(), mode=SHARED)
    return path


@dataclass(frozen=True, slots=True)
class _Objective:
    """A column of the table of objectives: one bound of one objective."""

    head: str

    def of(self, report: WindowReport) -> list[Judgement]:
        """The judgement of the whole, and those of slices that failed."""
        return [
            found
            for found in report.judgements
            if _head(found) == self.head
            and (not found.measurement.of or found.verdict is Verdict.FAIL)
        ]


def _objectives(reports: Sequence[WindowReport]) -> list[_Objective]:
    heads = dict.fromkeys(_head(found) for report in reports for found in report.judgements)
    return [_Objective(head) for head in heads]


def _head(found: Judgement) -> str:
    bound = found.bound.replace("_", " ")
    if found.bound == BETTER_THAN:
        return f"{found.objective.metric} {bound} {found.objective.better_than}: the difference"
    return f"{found.objective.metric} {bound} {found.target:g}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("shipway.monitoring"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "interval": _interval, "percent": _percent}
    return environment


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _interval(measurement: Measurement) -> str:
    ends = (measurement.low, measurement.high)
    if ends == (None, None):
        return ""
    return " to ".join("?" if end is None else _number(end) for end in ends)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _embedded(plots: object) -> str:
    """JSON that cannot end the element it stands in."""
    text = msgspec.json.encode(plots).decode()
    return "".join(_UNSAFE.get(character, character) for character in text)


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
