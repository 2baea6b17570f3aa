"""``diff``: everything in which two versions differ, from their manifests and their evidence."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from shipway.bootstrap.predictors import contract_in
from shipway.bootstrap.project import Project
from shipway.registry.lineage import DIFF_FILE
from shipway.registry.records import Lineage, Version
from shipway.registry.registry import Registry
from shipway.rollout.switch import latest_gate

_MOST_PATCH_LINES = 2_000

Facts = dict[str, object]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs: ``section`` is metrics, data, features, objectives and so on.

    ``left`` or ``right`` is None where that version has no such thing.
    """

    section: str
    name: str
    left: object
    right: object


class VersionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """In what two versions differ; ``patch`` is between their uncommitted changes, "" if none."""

    model: str
    left: int
    right: int
    differences: tuple[Difference, ...]
    patch: str


def diff(project: Project, left: str, right: str) -> VersionDiff:
    """What is not the same in the versions *left* and *right* of the project's model.

    Metrics are those of each one's newest gate, which may have been held on different rows; the
    data section tells. The files of both are verified on the way.
    """
    registry = project.registry
    one, other = (registry.resolve(each, project.model) for each in (left, right))
    sections = _sections(registry, one), _sections(registry, other)
    return VersionDiff(
        model=one.model,
        left=one.number,
        right=other.number,
        differences=tuple(_differences(*sections)),
        patch=_patch(registry, one, other),
    )


def _differences(left: Mapping[str, Facts], right: Mapping[str, Facts]) -> Iterator[Difference]:
    for section, facts in left.items():
        others = right[section]
        for name in [*facts, *(name for name in others if name not in facts)]:
            before, after = facts.get(name), others.get(name)
            if before != after:
                yield Difference(section=section, name=name, left=before, right=after)


def _sections(registry: Registry, version: Version) -> dict[str, Facts]:
    manifest, lineage = version.manifest, version.manifest.lineage
    gated = latest_gate(registry, version)
    body: Mapping[str, Any] = gated.body if gated else {}
    metrics: Facts = {name: value for name, value in manifest.metrics.items()}  # noqa: C416
    metrics |= {
        f"{_name(one)}": one["measurement"].get("value") for one in body.get("judgements", ())
    }
    data = {
        f"{record.role} {key}": value for record in lineage.data for key, value in _facts(record)
    }
    if held_on := body.get("data"):
        data |= {f"gate {key}": value for key, value in held_on.items() if key != "role"}
    return {
        "verdict": {"gate": gated.verdict if gated else None},
        "metrics": metrics,
        "data": data,
        "features": _columns(registry, version),
        "objectives": _objectives(version),
        "parameters": dict(lineage.parameters),
        "code": _code(lineage),
        "model": {
            "format": manifest.spec.format,
            "source": lineage.source_model_type,
            "source digest": lineage.source_model_digest,
        },
        "dependencies": dict(lineage.packages),
        "machine": {"python": lineage.python, "platform": lineage.platform},
        "files": {entry.path: entry.digest for entry in manifest.files},
    }


def _name(judgement: Mapping[str, Any]) -> str:
    """What a judgement is of: ``roc_auc better than live``, ``roc_auc within carrier=AA``."""
    measurement, objective = judgement["measurement"], judgement["objective"]
    better = judgement["bound"] == "better_than"
    against = f" better than {objective.get('better_than')}" if better else ""
    within = f" within {measurement['of']}" if measurement.get("of") else ""
    return f"{measurement['metric']}{against}{within}"


def _columns(registry: Registry, version: Version) -> Facts:
    contract = contract_in(registry.open_files(version), version.ref)
    return {
        column.name: " ".join(
            f"{key}={value}"
            for key, value in _facts(column)
            if key not in {"name", "bins"} and value not in (None, "", (), [])
        )
        for column in contract.columns
    }


def _objectives(version: Version) -> Facts:
    manifest = version.manifest
    facts: Facts = {
        f"{one.metric}{f' against {one.better_than}' if one.better_than else ''}": one.describe()
        for one in manifest.objectives.objectives
    }
    others = {key: value for key, value in _facts(manifest.objectives) if key != "objectives"}
    return {**facts, **others, "threshold": manifest.threshold}


def _code(lineage: Lineage) -> Facts:
    return {
        **(dict(_facts(lineage.code)) if lineage.code else {}),
        "command": " ".join(lineage.command),
    }


def _facts(record: msgspec.Struct) -> Iterator[tuple[str, object]]:
    for name, value in msgspec.to_builtins(record).items():
        yield str(name), value


def _patch(registry: Registry, left: Version, right: Version) -> str:
    """How the uncommitted changes of both differ, as a unified diff."""
    texts: list[list[str]] = []
    for version in (left, right):
        path = registry.open_files(version).get(DIFF_FILE)
        text = path.read_text(encoding="utf-8", errors="replace") if path else ""
        texts.append(text.splitlines()[:_MOST_PATCH_LINES])
    before, after = texts
    names = (f"{left.ref}/{DIFF_FILE}", f"{right.ref}/{DIFF_FILE}")
    return "\n".join(difflib.unified_diff(before, after, *names, lineterm=""))
