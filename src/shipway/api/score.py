"""``score``: a whole table predicted offline, by the predictor that serves online."""

from __future__ import annotations

from pathlib import Path

from shipway.batch.score import CHUNK_ROWS, OnBad, ScoreSummary
from shipway.batch.score import score as score_table
from shipway.bootstrap.predictors import predictor_of
from shipway.bootstrap.project import Project
from shipway.contract.schema import Contract
from shipway.domain.progress import SILENT, Progress
from shipway.errors import NotFoundError
from shipway.inference.personal import protection_of
from shipway.monitoring.scored import Seen
from shipway.registry.records import Version


def score(
    project: Project,
    table: Path,
    output: Path,
    *,
    version: str | None = None,
    keep_inputs: bool = False,
    on_bad: OnBad = "quarantine",
    max_bad_share: float = 0.05,
    chunk_rows: int = CHUNK_ROWS,
    excel_safe: bool = False,
    events: bool | None = None,
    progress: Progress = SILENT,
) -> ScoreSummary:
    """Predict every row of *table* into *output* with the live version, or with *version*.

    Monitoring sees what the live version answered, as it sees what was asked of the server, unless
    *events* says otherwise; of a named version it sees it where *events* says so.

    Raises :class:`~shipway.errors.NotFoundError` when no version is named and none is live.
    """
    chosen = version_or_live(project, version)
    recorded = version is None if events is None else events
    predictor = predictor_of(project.registry, chosen)
    try:
        return score_table(
            table,
            output,
            predictor=predictor,
            contract=predictor.served.contract,
            version=chosen.ref,
            classes=chosen.manifest.spec.classes,
            chunk_rows=chunk_rows,
            keep_inputs=keep_inputs,
            on_bad=on_bad,
            max_bad_share=max_bad_share,
            excel_safe=excel_safe,
            protection=protection_of(predictor.served.contract, project.personal),
            version_digest=chosen.digest,
            seen=_seen(project, chosen, predictor.served.contract) if recorded else None,
            progress=progress,
        )
    finally:
        predictor.close()


def _seen(project: Project, version: Version, contract: Contract) -> Seen:
    return Seen(
        folder=project.home / "events",
        keyring=project.keyring,
        endpoint=project.model,
        model=version.model,
        version=version.number,
        time=None if contract.time is None else contract.time.name,
    )


def version_or_live(project: Project, version: str | None) -> Version:
    """The version that *version* names, or the live one.

    Raises :class:`~shipway.errors.NotFoundError` when neither is there.
    """
    if version is not None:
        return project.registry.resolve(version, project.model)
    state = project.registry.endpoint(project.model)
    if state is None or state.live is None:
        raise NotFoundError(
            f"nothing is live on the endpoint {project.model!r}",
            next_step="promote a version with `shipway promote`, or name one with --version",
        )
    return project.registry.version(state.model, state.live)
