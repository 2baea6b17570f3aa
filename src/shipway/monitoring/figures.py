"""The plots of the report, as plotly's own JSON: data and layout, no drawing and no colours.

Colours belong to the page, which has a light and a dark set: a trace names its part in ``meta``
(``realised``, ``estimated``, ``target``, ``labels``, ``reference``, ``window``, ``heat``).
Plotly reads a little HTML in labels, so every name that comes from data is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from shipway.domain.metrics import METRICS
from shipway.evidence.judge import BETTER_THAN
from shipway.evidence.verdict import Judgement, Measurement, Verdict
from shipway.monitoring.findings import MetricFigures, WindowReport

Figure = dict[str, Any]
_SYMBOLS = {Verdict.PASS: "circle", Verdict.FAIL: "x", Verdict.UNDECIDED: "circle-open"}
_SHOWN_FEATURES = 40
_SHOWN_WINDOWS = 4


def figures(reports: Sequence[WindowReport]) -> list[Figure]:
    """Every plot that *reports*, in order of time, have the data for."""
    metrics = list(dict.fromkeys(figure.metric for r in reports for figure in r.metrics))
    found = [_metric(reports, metric) for metric in metrics]
    if any(report.features for report in reports):
        found.append(_drift(reports))
    if any(report.score_bins for report in reports):
        found.append(_scores(reports))
    found.append(_maturity(reports))
    if any(report.traffic.latency_p50_ms.value is not None for report in reports):
        found.append(_latency(reports))
    return found


def _metric(reports: Sequence[WindowReport], metric: str) -> Figure:
    """One metric window by window: as it came true with its interval, and as it was estimated."""
    x = [_start(report) for report in reports]
    per_window = [report.figures(metric) for report in reports]
    realised = [None if found is None else found.realised for found in per_window]
    verdicts = [_verdict(report, metric) for report in reports]
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "realised",
            "meta": "realised",
            "x": x,
            "y": [None if found is None else found.value for found in realised],
            "error_y": _bars(realised),
            "marker": {"size": 9, "symbol": [_SYMBOLS[verdict] for verdict in verdicts]},
            "text": [_hover(r, f, v) for r, f, v in zip(reports, realised, verdicts, strict=True)],
            "hovertemplate": "%{text}<extra></extra>",
        }
    ]
    if any(found is not None and found.estimated is not None for found in per_window):
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "estimated without labels",
                "meta": "estimated",
                "x": x,
                "y": [_estimate(found) for found in per_window],
                "line": {"dash": "dot", "width": 2},
                "marker": {"size": 6, "symbol": "diamond"},
                "hovertemplate": "estimated %{y:.4g}<extra></extra>",
            }
        )
    reference = next((f.reference for f in per_window if f and f.reference), None)
    lines = [
        (target, f"{bound} {target:g}", "target") for bound, target in _targets(reports, metric)
    ]
    if reference is not None and reference.value is not None:
        lines.append((reference.value, f"at the gate {reference.value:.4g}", "reference"))
    data += [_line(x, y, name, meta) for y, name, meta in lines]
    unit = METRICS[metric].unit
    return {
        "id": f"metric-{metric}",
        "title": metric,
        "wide": False,
        "about": f"{METRICS[metric].meaning}{f' ({unit})' if unit else ''}; "
        f"{METRICS[metric].better} is better. A cross fails, a ring is undecided.",
        "data": data,
        "layout": {"yaxis": {"title": {"text": metric}}, "xaxis": {"type": "date"}},
    }


def _maturity(reports: Sequence[WindowReport]) -> Figure:
    x = [_start(report) for report in reports]
    return {
        "id": "labels",
        "title": "Labels",
        "wide": False,
        "about": "Share of each window's predictions whose truth is known by now.",
        "data": [
            {
                "type": "bar",
                "name": "labelled",
                "meta": "labels",
                "x": x,
                "y": [report.maturity.share for report in reports],
                "text": [f"{r.maturity.labelled:,} of {r.predictions:,}" for r in reports],
                "textposition": "none",
                "hovertemplate": "%{text} (%{y:.1%})<extra></extra>",
            },
            _line(x, reports[-1].maturity.needed_share, "needed to judge", "target"),
        ],
        "layout": {
            "yaxis": {"range": [0, 1.05], "tickformat": ".0%"},
            "xaxis": {"type": "date"},
        },
    }


def _drift(reports: Sequence[WindowReport]) -> Figure:
    """The heat map of PSI: a row a feature, the farthest moved on top, a column a window."""
    psi = [
        {movement.name: movement.psi.value for movement in report.features} for report in reports
    ]
    names = list(dict.fromkeys(name for found in psi for name in found))
    names.sort(key=lambda name: max(found.get(name) or 0.0 for found in psi))
    names = names[-_SHOWN_FEATURES:]
    return {
        "id": "drift",
        "title": "Drift of the features",
        "wide": True,
        "about": "Population stability index against training. Below 0.1 is little, above 0.25 "
        "is much; a moved feature need not matter.",
        "data": [
            {
                "type": "heatmap",
                "meta": "heat",
                "x": [_start(report) for report in reports],
                "y": [escape(name) for name in names],
                "z": [[found.get(name) for found in psi] for name in names],
                "zmin": 0,
                "zmax": 1,
                "xgap": 1,
                "ygap": 1,
                "colorbar": {"title": {"text": "PSI"}, "thickness": 12},
                "hovertemplate": "%{y}<br>%{x}<br>PSI %{z:.3f}<extra></extra>",
            }
        ],
        "layout": {
            "height": 140 + 22 * len(names),
            "xaxis": {"type": "date"},
            "yaxis": {"automargin": True},
        },
    }


def _scores(reports: Sequence[WindowReport]) -> Figure:
    """The distribution of the scores: at the gate, and in the latest windows."""
    having = [report for report in reports if report.score_bins]
    latest = having[-_SHOWN_WINDOWS:]
    names = [escape(found.name) for found in latest[-1].score_bins]
    data: list[Figure] = []
    expected = [found.expected for found in latest[-1].score_bins]
    if any(share is not None for share in expected):
        data.append(
            {"type": "bar", "name": "at the gate", "meta": "reference", "x": names, "y": expected}
        )
    for index, report in enumerate(latest):
        total = max(sum(found.predictions for found in report.score_bins), 1)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": report.window.name,
                "meta": "window",
                "x": names,
                "y": [found.predictions / total for found in report.score_bins],
                "opacity": 0.35 + 0.65 * (index + 1) / len(latest),
            }
        )
    return {
        "id": "scores",
        "title": "What the model answers",
        "wide": False,
        "about": "Share of predictions by score; the bars are the rows it was gated on.",
        "data": data,
        "layout": {"yaxis": {"tickformat": ".0%"}, "xaxis": {"type": "category"}, "height": 380},
    }


def _latency(reports: Sequence[WindowReport]) -> Figure:
    x = [_start(report) for report in reports]
    return {
        "id": "latency",
        "title": "Latency",
        "wide": False,
        "about": "Milliseconds from a whole request to its answer.",
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "meta": meta,
                "x": x,
                "y": [found.value for found in measured],
                "error_y": _bars(measured),
                "hovertemplate": f"{name} %{{y:.3g}} ms<extra></extra>",
            }
            for name, meta, measured in (
                ("p50", "realised", [report.traffic.latency_p50_ms for report in reports]),
                ("p99", "estimated", [report.traffic.latency_p99_ms for report in reports]),
            )
        ],
        "layout": {
            "yaxis": {"title": {"text": "ms"}, "rangemode": "tozero"},
            "xaxis": {"type": "date"},
        },
    }


def _bars(found: Sequence[Measurement | None]) -> Figure:
    """The distances from the values to the ends of their intervals."""
    up = [_gap(one.high, one.value) if one else 0.0 for one in found]
    down = [_gap(one.value, one.low) if one else 0.0 for one in found]
    return {
        "type": "data",
        "symmetric": False,
        "array": up,
        "arrayminus": down,
        "thickness": 1.5,
        "width": 4,
    }


def _gap(high: float | None, low: float | None) -> float:
    return 0.0 if high is None or low is None else high - low


def _line(x: Sequence[str], y: float, name: str, meta: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(name),
        "meta": meta,
        "x": list(x),
        "y": [y] * len(x),
        "line": {"dash": "dash", "width": 1.5},
        "hoverinfo": "skip",
    }


def _targets(reports: Sequence[WindowReport], metric: str) -> list[tuple[str, float]]:
    """The fixed bounds of the objectives on *metric*, of the whole, without doubles."""
    found = (
        (judgement.bound.replace("_", " "), judgement.target)
        for report in reports
        for judgement in report.judgements
        if _about(judgement, metric) and judgement.bound != BETTER_THAN
    )
    return list(dict.fromkeys(found))


def _verdict(report: WindowReport, metric: str) -> Verdict:
    verdicts = {found.verdict for found in report.judgements if _about(found, metric)}
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.PASS if verdicts == {Verdict.PASS} else Verdict.UNDECIDED


def _about(judgement: Judgement, metric: str) -> bool:
    return judgement.objective.metric == metric and not judgement.measurement.of


def _estimate(found: MetricFigures | None) -> float | None:
    return None if found is None or found.estimated is None else found.estimated.value


def _hover(report: WindowReport, found: Measurement | None, verdict: Verdict) -> str:
    if found is None or found.value is None:
        return f"{report.window.name}: not measured"
    ends = " to ".join("?" if end is None else f"{end:.4g}" for end in (found.low, found.high))
    return f"{report.window.name}<br>{found.value:.4g} ({ends})<br>n = {found.n:,}, {verdict}"


def _start(report: WindowReport) -> str:
    return f"{report.window.since:%Y-%m-%d %H:%M}"
