"""``labels add``: what turned out to be true, by prediction id."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import polars as pl

from shipway.api.server import caller
from shipway.bootstrap.project import Project
from shipway.contract.tables import known_rows, read_table
from shipway.domain.events import Label
from shipway.domain.model import Kind
from shipway.domain.progress import SILENT, Progress
from shipway.domain.times import from_iso, from_nanoseconds, iso, nanoseconds, utc
from shipway.errors import DataError, Problem
from shipway.monitoring.labels import LabelLog
from shipway.security.audit import Entry

LABELS_A_REQUEST = 5_000
_MOST_PROBLEMS = 100


class LabelsAdded(msgspec.Struct, frozen=True, kw_only=True):
    """How many labels are on disk now, and by which way they went."""

    labels: int
    through: str


def add_labels(
    project: Project,
    table: Path,
    *,
    url: str | None = None,
    key: str | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> LabelsAdded:
    """Add the labels of *table*: ``prediction_id``, the target (or ``value``), ``observed_at``.

    They go to the server at *url* with *key*; without an address, straight into the store of
    this project. They are on disk when this returns; a later label of the same prediction
    corrects an earlier one. A row without a truth is passed over, one without a time was observed
    now; a time without a zone is UTC.

    Raises :class:`~shipway.errors.DataError` with every time that is none.
    """
    labels = _labels(project, read_table(table, kinds=_kinds(project)), table)
    if dry_run:
        return LabelsAdded(labels=len(labels), through="nothing (dry run)")
    with progress.start("Adding labels", len(labels), "labels") as task:
        if url is None:
            log = LabelLog(project.home / "labels", sealer=project.keyring.sealer())
            for start in range(0, len(labels), LABELS_A_REQUEST):
                batch = labels[start : start + LABELS_A_REQUEST]
                log.append(batch)
                task.advance(len(batch))
            project.registry.trail.record(Entry(what="labels.add", count=len(labels)))
            return LabelsAdded(labels=len(labels), through=str(project.home))
        server = caller(project, url=url, key=key)
        for start in range(0, len(labels), LABELS_A_REQUEST):
            batch = labels[start : start + LABELS_A_REQUEST]
            server.post(f"{server.control_url}/v1/labels", {"labels": [_told(b) for b in batch]})
            task.advance(len(batch))
    return LabelsAdded(labels=len(labels), through=server.control_url)


def _labels(project: Project, table: pl.DataFrame, path: Path) -> list[Label]:
    target = project.settings.model.target
    value = next((name for name in ("value", target) if name in table.columns), None)
    if "prediction_id" not in table.columns or value is None:
        raise DataError(
            f"{path.name} needs the columns prediction_id and {target!r} (or value); it has"
            f" {', '.join(table.columns)}",
            next_step="rename its columns; the prediction ids are in the server's answers",
        )
    table = known_rows(table, value)
    table = table.filter(pl.col("prediction_id").is_not_null())
    times = table["observed_at"].to_list() if "observed_at" in table.columns else []
    return [
        Label(prediction_id=str(name), value=truth, observed_at_ns=observed)
        for name, truth, observed in zip(
            table["prediction_id"].to_list(),
            table[value].to_list(),
            _observed(times or [None] * table.height, project.clock()),
            strict=True,
        )
    ]


def _kinds(project: Project) -> dict[str, Kind]:
    """What a CSV file's cells are to be read as: a class called 01 is no number."""
    kinds = {"prediction_id": Kind.STRING}
    target = project.contract.target if project.contract_path.exists() else None
    return kinds if target is None else {**kinds, target.name: target.kind, "value": target.kind}


def _observed(times: Sequence[object], now: datetime) -> list[int]:
    """*times* in nanoseconds since 1970, *now* for those that are missing."""
    found = [_moment(each, now) for each in times]
    problems = [
        Problem("label.observed-at", f"observed_at is {times[row]!r}, no time", f"row {row}")
        for row, moment in enumerate(found)
        if moment is None
    ]
    if problems:
        raise DataError(
            f"{len(problems)} times in the column observed_at cannot be read; no label was kept",
            next_step="write them as 2013-04-01T12:00:00Z, or leave the column out for now",
            problems=problems[:_MOST_PROBLEMS],
        )
    return [nanoseconds(moment) for moment in found if moment is not None]


def _moment(value: object, now: datetime) -> datetime | None:
    """The moment that *value* names, *now* for none; None if it is no time."""
    match value:
        case None:
            return now
        case datetime():
            return utc(value)
        case date():
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        case str():
            with suppress(ValueError):
                return from_iso(value)
    return None


def _told(label: Label) -> dict[str, object]:
    return {
        "prediction_id": label.prediction_id,
        "value": label.value,
        "observed_at": iso(from_nanoseconds(label.observed_at_ns)),
    }
