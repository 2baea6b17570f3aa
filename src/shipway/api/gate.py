"""``gate``: is a candidate good enough, on rows that it has not seen, by the objectives."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl

from shipway.api.candidate import Candidate, opened
from shipway.api.outcomes import compared_outcomes, labelled, outcomes_of
from shipway.api.pack import data_record
from shipway.bootstrap.predictors import predictor_of
from shipway.bootstrap.project import Project
from shipway.contract.schema import Contract
from shipway.contract.tables import read_table
from shipway.domain.objectives import Reference as Target
from shipway.domain.progress import SILENT, Progress
from shipway.evidence.baseline import baseline
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.verdict import Judgement, Verdict
from shipway.monitoring.reference import Reference, make_reference
from shipway.registry.records import DataRecord, Manifest, Version
from shipway.rollout.gate import GateResult
from shipway.rollout.gate import gate as judge_candidate


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's judgement: ``number`` is None for one that is not published."""

    candidate: str
    model: str
    number: int | None
    live: int | None
    verdict: Verdict
    judgements: tuple[Judgement, ...]
    notes: tuple[str, ...]
    data: DataRecord
    reference: Reference | None = None
    evidence: int | None = None


def candidate_of(project: Project, version: str | None = None) -> Candidate:
    """The published *version* of the project's model, by default the newest, as a candidate."""
    chosen = project.registry.resolve(version or "latest", project.model)
    return Candidate(chosen.manifest, {}, chosen)


def gate(
    project: Project,
    candidate: Candidate | None = None,
    *,
    data: Path | None = None,
    progress: Progress = SILENT,
    seed: int = 0,
) -> GateReport:
    """Judge *candidate* (by default the newest version) on the test table or on *data*.

    It is compared with the live version and with the baseline on the same rows where an
    objective asks for it. What is judged of a published version is recorded as evidence.

    Raises :class:`~shipway.errors.DataError` for a table without labelled rows, or whose rows
    break the contract.
    """
    candidate = candidate or candidate_of(project)
    path = project.table_path(data, "test")
    with progress.start("Reading the test table", None, "rows") as task:
        table = read_table(path, kinds=project.contract.kinds)
        task.advance(table.height)
    live = _live_version(project, candidate)
    with progress.start("Predicting and judging", None, "steps") as task:
        with opened(candidate, project.registry) as predictor:
            contract = predictor.served.contract
            rows = labelled(table, contract.target, path)
            outcomes = outcomes_of(candidate.manifest, predictor, rows)
        task.advance(1)
        result = judge_candidate(
            outcomes,
            candidate.manifest.objectives,
            live=_live_outcomes(project, live, candidate.manifest, contract, rows),
            baseline=_baseline_outcomes(candidate.manifest, outcomes),
            seed=seed,
        )
        task.advance(1)
    report = _report(project, candidate, live, result, data_record("test", path, table, project))
    reference = make_reference(outcomes, result.judgements, trained=candidate.manifest.trained)
    return _recorded(project, candidate, msgspec.structs.replace(report, reference=reference))


def _live_version(project: Project, candidate: Candidate) -> Version | None:
    """The version to be compared with: what is live, unless that is the candidate itself."""
    state = project.registry.endpoint(project.model)
    if state is None or state.live is None:
        return None
    if candidate.version is not None and candidate.version.number == state.live:
        return None
    return project.registry.version(state.model, state.live)


def _live_outcomes(
    project: Project,
    live: Version | None,
    manifest: Manifest,
    contract: Contract,
    rows: pl.DataFrame,
) -> Outcomes | None:
    """The live version on the same rows, if an objective asks for it, in the candidate's words."""
    asked = any(one.better_than is Target.LIVE for one in manifest.objectives.objectives)
    if live is None or not asked:
        return None
    predictor = predictor_of(project.registry, live)
    try:
        return compared_outcomes(manifest, contract, predictor, rows)
    finally:
        predictor.close()


def _baseline_outcomes(manifest: Manifest, outcomes: Outcomes) -> Outcomes | None:
    """The rule of [baseline] on the same rows, knowing what training knew."""
    kind = manifest.objectives.baseline
    if kind is None or manifest.trained is None:
        return None
    return baseline(kind, outcomes, manifest.trained)


def _report(
    project: Project,
    candidate: Candidate,
    live: Version | None,
    result: GateResult,
    data: DataRecord,
) -> GateReport:
    notes = list(result.notes)
    trained = next(
        (record for record in candidate.manifest.lineage.data if record.role == "train"), None
    )
    if trained and trained.time_to and data.time_from and data.time_from <= trained.time_to:
        notes.append(
            f"the test rows begin at {data.time_from}, before training ends at {trained.time_to}:"
            " the verdict is kinder than the future will be"
        )
    if trained and trained.digest == data.digest:
        notes.append("the test table is the training table: this says nothing about new rows")
    return GateReport(
        candidate=candidate.name,
        model=candidate.manifest.model,
        number=candidate.version.number if candidate.version else None,
        live=live.number if live else None,
        verdict=result.verdict,
        judgements=result.judgements,
        notes=tuple(notes),
        data=data,
    )


def _recorded(project: Project, candidate: Candidate, report: GateReport) -> GateReport:
    """*report*, kept as evidence if the candidate is a published version."""
    if candidate.version is None:
        return report
    record = project.registry.record_evidence(
        candidate.version.model,
        candidate.version.number,
        kind="gate",
        verdict=report.verdict,
        body=report,
        now=project.clock(),
    )
    return msgspec.structs.replace(report, evidence=record.id)
