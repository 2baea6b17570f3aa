"""A version and what was made anew of it, compared: by bytes, then by metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from shipway.api.candidate import Candidate
from shipway.api.gate import gate
from shipway.bootstrap.predictors import CONTRACT_IN_VERSION, SETTINGS_IN_VERSION
from shipway.bootstrap.project import Project
from shipway.domain.digests import digest_of_file
from shipway.registry.lineage import DIFF_FILE
from shipway.registry.records import EvidenceRecord, Manifest, Version
from shipway.rollout.switch import latest_gate

_NOT_THE_MODEL = frozenset({CONTRACT_IN_VERSION, SETTINGS_IN_VERSION, DIFF_FILE})


class FileCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the model; "" where it was not, or did not come out."""

    path: str
    recorded: str
    reproduced: str
    same: bool


class MetricCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One metric on the rows of the recorded gate."""

    name: str
    recorded: float
    reproduced: float | None
    within: bool


def file_checks(then: Manifest, now: Manifest) -> tuple[FileCheck, ...]:
    """The files that the model is loaded from; settings and contract are given, not made."""
    recorded, reproduced = _digests(then), _digests(now)
    return tuple(
        FileCheck(
            path=path,
            recorded=recorded.get(path, ""),
            reproduced=reproduced.get(path, ""),
            same=recorded.get(path) == reproduced.get(path),
        )
        for path in sorted(recorded.keys() | reproduced.keys())
    )


def metric_checks(
    project: Project, version: Version, made: Candidate, tolerance: float
) -> tuple[MetricCheck, ...]:
    """The metrics of the newest gate against those of *made* on the same rows, if they are here.

    Comparisons with the live version are left out: another one may be live by now.
    """
    gated = latest_gate(project.registry, version)
    table = _table(project, gated) if gated else None
    if gated is None or table is None:
        return ()
    report = gate(project, made, data=table)
    again = dict(_values(msgspec.to_builtins(report)))
    return tuple(
        MetricCheck(
            name=name,
            recorded=value,
            reproduced=again.get(name),
            within=_near(value, again.get(name), tolerance),
        )
        for name, value in _values(gated.body)
    )


def _near(recorded: float, reproduced: float | None, tolerance: float) -> bool:
    return reproduced is not None and math.isclose(
        recorded, reproduced, rel_tol=tolerance, abs_tol=tolerance
    )


def _digests(manifest: Manifest) -> dict[str, str]:
    return {each.path: each.digest for each in manifest.files if each.path not in _NOT_THE_MODEL}


def _table(project: Project, gated: EvidenceRecord) -> Path | None:
    """The table that the gate was held on, if it is where the settings say, as it was."""
    held_on: Any = gated.body.get("data")
    named = project.settings.data.test
    if named is None or not isinstance(held_on, dict):
        return None
    path = project.folder / str(named)
    return path if path.is_file() and digest_of_file(path) == held_on.get("digest") else None


def _values(body: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for judgement in body.get("judgements", ()):
        measurement = judgement["measurement"]
        if judgement["bound"] != "better_than" and measurement.get("value") is not None:
            within = f" within {measurement['of']}" if measurement.get("of") else ""
            yield f"{measurement['metric']}{within}", float(measurement["value"])
