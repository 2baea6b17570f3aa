"""``labels add``: what turned out to be true, by prediction id."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from shipway.api.server import caller
from shipway.bootstrap.project import Project
from shipway.contract.tables import read_table
from shipway.domain.events import Label
from shipway.domain.progress import SILENT, Progress
from shipway.domain.times import iso
from shipway.errors import DataError
from shipway.monitoring.labels import LabelLog

LABELS_A_REQUEST = 5_000


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
    corrects an earlier one.
    """
    labels = _labels(project, read_table(table), table)
    if dry_run:
        return LabelsAdded(labels=len(labels), through="nothing (dry run)")
    with progress.start("Adding labels", len(labels), "labels") as task:
        if url is None:
            log = LabelLog(project.home / "labels")
            for start in range(0, len(labels), LABELS_A_REQUEST):
                batch = labels[start : start + LABELS_A_REQUEST]
                log.append(batch)
                task.advance(len(batch))
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
    now = project.clock()
    times: list[Any] = (
        table["observed_at"].to_list() if "observed_at" in table.columns else [now] * table.height
    )
    known = zip(table["prediction_id"].to_list(), table[value].to_list(), times, strict=True)
    return [
        Label(prediction_id=str(name), value=truth, observed_at_ns=_nanoseconds(moment, now))
        for name, truth, moment in known
        if name is not None and truth is not None
    ]


def _nanoseconds(moment: object, now: datetime) -> int:
    at = moment if isinstance(moment, datetime) else now
    return int(at.timestamp() * 1_000_000) * 1_000


def _told(label: Label) -> dict[str, object]:
    observed = datetime.fromtimestamp(label.observed_at_ns / 1e9).astimezone()
    return {
        "prediction_id": label.prediction_id,
        "value": label.value,
        "observed_at": iso(observed),
    }
