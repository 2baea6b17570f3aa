"""When to tell people: once when an objective stops holding, once when it holds again.

``advance`` is pure: state and a window's report in, the new state and the notices out. A notice
stays in the state until every sender has taken it, so neither a kill nor a webhook that is down
loses one; a receiver may get one twice, and knows it by its ``fingerprint``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from shipway.domain.metrics import METRICS, Source
from shipway.durable import private_folder, replace_file, storing
from shipway.errors import StoreError
from shipway.evidence.judge import BETTER_THAN
from shipway.evidence.verdict import Judgement, Verdict
from shipway.monitoring.findings import WindowReport
from shipway.monitoring.window import Window

_HISTORY = 1000
_SHOWN_FEATURES = 5


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An objective that stopped holding in ``window``; ``resolved_at`` is when it held again.

    It is ``withdrawn`` when another version answers that is not asked for it any more.
    ``summary`` says what happened, ``moved`` which features moved most, ``explanation`` whether
    they account for it, ``quality`` which columns break their promise more than before,
    ``next_step`` what to type now.
    """

    fingerprint: str
    model: str
    endpoint: str
    versions: dict[str, int]
    metric: str
    objective: str
    bound: str
    of: str
    value: float | None
    low: float | None
    high: float | None
    target: float
    window: Window
    opened_at: datetime
    summary: str
    moved: tuple[str, ...]
    explanation: str
    quality: tuple[str, ...]
    next_step: str
    resolved_window: Window | None = None
    resolved_at: datetime | None = None
    withdrawn: bool = False

    @property
    def text(self) -> str:
        """The alert in a few lines for a person."""
        if self.resolved_window is not None:
            when = self.resolved_window.name
            if self.withdrawn:
                return f"WITHDRAWN {self.model}: {self.objective} is not asked any more in {when}"
            return f"RESOLVED {self.model}: {self.objective} holds again in {when}"
        lines = [f"ALERT {self.summary}"]
        if self.moved:
            lines.append(f"Moved most: {', '.join(self.moved)}")
        if self.explanation:
            lines.append(self.explanation)
        if self.quality:
            lines.append(f"Data quality: {', '.join(self.quality)}")
        return "\n  ".join([*lines, f"Next: {self.next_step}"])


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell: an alert that opened or was resolved, and who has not taken it yet."""

    alert: Alert
    pending: tuple[str, ...] | None = None


class AlertState(msgspec.Struct, frozen=True, kw_only=True):
    """What is open, what was resolved, what is to be told, and up to when each was judged."""

    open: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()
    notices: tuple[Notice, ...] = ()
    judged_until: dict[str, datetime] = {}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How one sender fared: ``error`` is empty when it took everything."""

    sender: str
    notices: int
    error: str = ""


class Sender(Protocol):
    """Somebody who tells people."""

    name: str

    def send(self, alerts: Sequence[Alert]) -> str:
        """Tell of *alerts*; an empty string, or why it could not be done. Never raises."""


def advance(
    state: AlertState, report: WindowReport, *, now: datetime, retrain: str | None = None
) -> AlertState:
    """The state after *report*: alerts opened and resolved are in ``notices`` as well.

    An objective on outcomes counts only in a matured window, one on traffic always. Only ``fail``
    opens and only ``pass`` resolves; ``undecided`` changes nothing. A window before the newest
    that was judged changes nothing either. An alert about an objective that another version
    brought along, and that is not judged now that it is gone, is withdrawn: nothing could ever
    resolve it. *retrain* is the project's command for a new model.
    """
    open_ = {alert.fingerprint: alert for alert in state.open}
    resolved, notices = list(state.resolved), list(state.notices)
    judged = dict(state.judged_until)
    for judgement in report.judgements:
        key = fingerprint(report, judgement)
        counts = report.maturity.matured or _on_traffic(judgement)
        decided = judgement.verdict is not Verdict.UNDECIDED
        if not (counts and decided) or report.window.until < judged.get(key, report.window.until):
            continue
        judged[key] = report.window.until
        if judgement.verdict is Verdict.FAIL and key not in open_:
            open_[key] = _alert(key, report, judgement, now=now, retrain=retrain)
            notices.append(Notice(alert=open_[key]))
        elif judgement.verdict is Verdict.PASS and key in open_:
            done = msgspec.structs.replace(
                open_.pop(key), resolved_window=report.window, resolved_at=now
            )
            resolved.append(done)
            notices.append(Notice(alert=done))
    for key in [key for key, alert in open_.items() if _left_behind(alert, report)]:
        done = msgspec.structs.replace(
            open_.pop(key), resolved_window=report.window, resolved_at=now, withdrawn=True
        )
        resolved.append(done)
        notices.append(Notice(alert=done))
    return AlertState(
        open=tuple(open_.values()),
        resolved=tuple(resolved[-_HISTORY:]),
        notices=tuple(notices),
        judged_until=judged,
    )


def deliver(
    state: AlertState, senders: Sequence[Sender]
) -> tuple[AlertState, tuple[Delivery, ...]]:
    """Give each sender what it has not taken yet; what it does not take is tried next time."""
    left = [
        set(notice.pending if notice.pending is not None else (s.name for s in senders))
        for notice in state.notices
    ]
    deliveries: list[Delivery] = []
    for sender in senders:
        waiting = [i for i, names in enumerate(left) if sender.name in names]
        if not waiting:
            continue
        error = sender.send([state.notices[i].alert for i in waiting])
        deliveries.append(Delivery(sender=sender.name, notices=len(waiting), error=error))
        if not error:
            for i in waiting:
                left[i].discard(sender.name)
    known = {sender.name for sender in senders}
    notices = tuple(
        Notice(alert=notice.alert, pending=tuple(sorted(names)))
        for notice, names in zip(state.notices, left, strict=True)
        if names & known
    )
    return msgspec.structs.replace(state, notices=notices), tuple(deliveries)


def fingerprint(report: WindowReport, judgement: Judgement) -> str:
    """The id of the alert that *judgement* would open: the same for the same broken promise."""
    objective = judgement.objective
    parts = (report.endpoint, report.model, objective.describe(), judgement.bound)
    text = "\0".join((*parts, judgement.measurement.of))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def alerts_path(home: Path) -> Path:
    """Where the store in *home* keeps the state of its alerts."""
    return home / "alerts.json"


def load_state(path: Path) -> AlertState:
    """The state kept at *path*, a fresh one if there is none yet.

    Raises :class:`~shipway.errors.StoreError` when it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=AlertState)
    except FileNotFoundError:
        return AlertState()
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(
            f"the state of the alerts in {path} cannot be read: {error}",
            next_step="move the file away; alerts that are still true will be raised again",
        ) from error


def save_state(path: Path, state: AlertState) -> None:
    """Keep *state* at *path*, whole or not at all."""
    data = msgspec.json.format(msgspec.json.encode(state), indent=1)
    with storing(path):
        private_folder(path.parent)
        replace_file(path, data)


def _alert(
    key: str, report: WindowReport, judgement: Judgement, *, now: datetime, retrain: str | None
) -> Alert:
    found = judgement.measurement
    metric = judgement.objective.metric
    explanation = report.explanation(metric)
    return Alert(
        fingerprint=key,
        model=report.model,
        endpoint=report.endpoint,
        versions=report.versions,
        metric=metric,
        objective=judgement.objective.describe(),
        bound=judgement.bound,
        of=found.of,
        value=found.value,
        low=found.low,
        high=found.high,
        target=judgement.target,
        window=report.window,
        opened_at=now,
        summary=_summary(report, judgement),
        moved=tuple(
            f"{feature.name} (PSI {feature.psi.value:.2f})"
            for feature in report.moved[:_SHOWN_FEATURES]
        ),
        explanation=explanation.words if explanation else "",
        quality=tuple(
            f"{fault.column} {fault.rule} {fault.share:.1%} ({fault.reference:.1%} in training)"
            for fault in report.quality
            if fault.raised
        )[:_SHOWN_FEATURES],
        next_step=_next_step(judgement, retrain),
    )


def _left_behind(alert: Alert, report: WindowReport) -> bool:
    """Whether *alert* is of versions that left before *report*, and of what it does not judge."""
    return (
        (alert.endpoint, alert.model) == (report.endpoint, report.model)
        and alert.window.until <= report.window.since
        and bool(report.versions)
        and alert.versions.keys().isdisjoint(report.versions)
        and alert.objective not in {one.objective.describe() for one in report.judgements}
    )


def _summary(report: WindowReport, judgement: Judgement) -> str:
    found = judgement.measurement
    versions = " and ".join(f"@{number}" for number in report.versions)
    what = judgement.objective.metric + (f" where {found.of}" if found.of else "")
    goal = f"{judgement.bound.replace('_', ' ')} {judgement.target:.4g}"
    if judgement.bound == BETTER_THAN:
        what = f"the difference of {what} to {judgement.objective.better_than}"
        slack = (
            f" by more than {judgement.objective.margin:.4g}" if judgement.objective.margin else ""
        )
        goal = f"not worse than {judgement.objective.better_than}{slack}"
    value = "not measured" if found.value is None else f"{found.value:.4g}"
    interval = f"{found.confidence:.0%} interval {_end(found.low)} to {_end(found.high)}"
    return (
        f"{report.model}{versions}: in {report.window.name} {what} is {value} ({interval}),"
        f" the objective is {goal}"
    )


def _end(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _next_step(judgement: Judgement, retrain: str | None) -> str:
    if _on_traffic(judgement):
        return "shipway doctor"
    train = retrain or "train a new model on recent outcomes"
    return f"{train}, then: shipway pack MODEL_FILE && shipway gate"


def _on_traffic(judgement: Judgement) -> bool:
    return METRICS[judgement.objective.metric].source is Source.TRAFFIC
