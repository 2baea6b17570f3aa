"""``monitor``: what happened since the model went live, judged by the objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from shipway.bootstrap.predictors import contract_of
from shipway.bootstrap.project import Project
from shipway.contract.schema import Contract
from shipway.domain.progress import SILENT, Progress
from shipway.durable import locked, made_folder
from shipway.errors import NotEnoughData
from shipway.monitoring.alerts import (
    Alert,
    AlertState,
    Delivery,
    Sender,
    advance,
    alerts_path,
    deliver,
    load_state,
    save_state,
)
from shipway.monitoring.assess import assess
from shipway.monitoring.findings import WindowReport
from shipway.monitoring.labels import LabelReader
from shipway.monitoring.learning import learnt
from shipway.monitoring.reader import EventReader
from shipway.monitoring.reference import Reference
from shipway.monitoring.report import write_report
from shipway.monitoring.senders import ConsoleSender, WebhookSender
from shipway.monitoring.window import Window, time_columns, windows_in, with_truth, within
from shipway.registry.records import Version
from shipway.rollout.switch import latest_gate


class Monitored(msgspec.Struct, frozen=True, kw_only=True):
    """The windows that were assessed, the alerts that are open, and where the report is."""

    model: str
    windows: tuple[WindowReport, ...]
    open_alerts: tuple[Alert, ...]
    new_alerts: tuple[Alert, ...]
    deliveries: tuple[Delivery, ...]
    report: str | None


class Watch:
    """Looks at one project's traffic again and again, reading only what is new each time."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._events = EventReader(
            project.home / "events",
            time_columns=time_columns(project.contract),
            keyring=project.keyring,
        )
        self._labels = LabelReader(project.home / "labels", project.keyring)
        self._judged_by: dict[int, tuple[Version, Contract, Reference | None]] = {}

    def frame(self) -> pl.DataFrame:
        """Every answered request's rows and every refusal, with the truth where it is known."""
        events = self._events.refresh().filter(pl.col("model") == self._project.model)
        return with_truth(events, self._labels.refresh())

    def assess(self, frame: pl.DataFrame, window: Window) -> WindowReport:
        """One window, judged by the version that answered most of it."""
        rows = within(frame, window)
        answered = rows.filter(pl.col("row").is_not_null())["version"].value_counts(sort=True)
        if answered.height == 0:
            raise NotEnoughData(
                f"nothing was predicted in {window.name}",
                next_step="choose another stretch of time with --since and --until",
            )
        version, contract, reference = self._judge(int(answered["version"][0]))
        settings = self._project.settings
        return assess(
            rows,
            contract=contract,
            objectives=version.manifest.objectives,
            classes=version.manifest.spec.classes,
            threshold=version.manifest.threshold,
            reference=reference,
            window=window,
            min_rows=settings.monitor.min_rows,
            maturity=settings.monitor.maturity,
            drift_margin=settings.monitor.drift_margin,
        )

    def labelled_rows(self, until: datetime) -> pl.DataFrame:
        """What was asked before *until* and came true: features, time and target of the contract.

        This is what a retraining can learn from. Raises
        :class:`~shipway.errors.NotEnoughData` while nothing has a label.
        """
        return learnt(self.frame(), self._project.contract, until)

    def _judge(self, number: int) -> tuple[Version, Contract, Reference | None]:
        """Version *number* with its contract and what its gate saw, read once."""
        if number not in self._judged_by:
            registry = self._project.registry
            version = registry.version(self._project.model, number)
            self._judged_by[number] = (
                version,
                contract_of(registry, version),
                _reference(latest_gate(registry, version)),
            )
        return self._judged_by[number]


def monitor(
    project: Project,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    window: str | None = None,
    report: Path | None = None,
    tell: Callable[[str], None] | None = None,
    progress: Progress = SILENT,
) -> Monitored:
    """Assess every window of the traffic in [*since*, *until*), raise and resolve alerts.

    Windows are as long as *window* or ``monitor.window``. An HTML report with plots is written to
    *report*, by default into the store. Alerts go to *tell* and to ``alerts.webhook``.

    Raises :class:`~shipway.errors.NotEnoughData` when nothing was predicted in that time.
    """
    watch = Watch(project)
    with progress.start("Reading events and labels", None, "rows") as task:
        frame = watch.frame()
        task.advance(frame.height)
    if since is not None:
        frame = frame.filter(pl.col("event_time") >= since)
    if until is not None:
        frame = frame.filter(pl.col("event_time") < until)
    spans = windows_in(frame, window or project.settings.monitor.window)
    if not spans:
        raise NotEnoughData(
            "nothing was predicted in that time",
            next_step="send requests to the server, or choose another time with --since",
        )
    reports = []
    with progress.start("Assessing", len(spans), "windows") as task:
        for span in spans:
            reports.append(watch.assess(frame, span))
            task.advance(1)
    new, deliveries, state = raise_alerts(project, reports, tell=tell)
    path = report or project.home / "reports" / f"{project.model}.html"
    write_report(path, reports, alerts=state, generated_at=project.clock())
    return Monitored(
        model=project.model,
        windows=tuple(reports),
        open_alerts=state.open,
        new_alerts=new,
        deliveries=deliveries,
        report=str(path),
    )


def raise_alerts(
    project: Project,
    reports: Sequence[WindowReport],
    *,
    tell: Callable[[str], None] | None = None,
) -> tuple[tuple[Alert, ...], tuple[Delivery, ...], AlertState]:
    """Take *reports* into the state of the alerts, tell of what opened or was resolved, keep it."""
    path = alerts_path(project.home)
    # One at a time: of two that read the same state, one would undo what the other has kept.
    with locked(made_folder(path.parent) / "alerts.lock"):
        state = load_state(path)
        known = {alert.fingerprint for alert in state.open}
        for report in reports:
            state = advance(
                state, report, now=project.clock(), retrain=project.settings.retrain.command
            )
        new = tuple(alert for alert in state.open if alert.fingerprint not in known)
        state, deliveries = deliver(state, _senders(project, tell))
        save_state(path, state)
    return new, deliveries, state


def _senders(project: Project, tell: Callable[[str], None] | None) -> list[Sender]:
    senders: list[Sender] = []
    if tell is not None:
        senders.append(ConsoleSender(tell))
    webhook = project.settings.alerts.webhook
    if webhook is not None:
        senders.append(WebhookSender(webhook))
    return senders


def _reference(gate: object) -> Reference | None:
    """What the gate saw of a version, from its evidence."""
    body = getattr(gate, "body", None)
    kept = body.get("reference") if isinstance(body, dict) else None
    return None if kept is None else msgspec.convert(kept, Reference)
