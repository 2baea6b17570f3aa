"""``score``: a whole table predicted offline, by the predictor that serves online."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipway.batch.estimate import ScoreEstimate
from shipway.batch.score import CHUNK_ROWS, OnBad, ScoreSummary, estimate
from shipway.batch.score import score as score_table
from shipway.bootstrap.predictors import predictor_of
from shipway.bootstrap.project import Project
from shipway.contract.schema import Contract
from shipway.cores import usable_cores
from shipway.domain.progress import SILENT, Progress
from shipway.errors import NotFoundError, UsageError
from shipway.inference.personal import protection_of
from shipway.inference.predictor import Predictor
from shipway.monitoring.scored import Seen
from shipway.registry.records import Version


def score(
    project: Project,
    table: Path,
    output: Path,
    *,
    version: str | None = None,
    endpoint: str | None = None,
    keep_inputs: bool = False,
    on_bad: OnBad = "quarantine",
    max_bad_share: float = 0.05,
    chunk_rows: int = CHUNK_ROWS,
    excel_safe: bool = False,
    events: bool | None = None,
    progress: Progress = SILENT,
) -> ScoreSummary:
    """Predict every row of *table* into *output* with what is live on *endpoint*, or *version*.

    Monitoring sees what the live version answered, as it sees what was asked of the server, unless
    *events* says otherwise; of a named version it sees it where *events* says so.

    Raises :class:`~shipway.errors.NotFoundError` when no version is named and none is live.
    """
    chosen = version_or_live(project, version, endpoint)
    recorded = version is None if events is None else events
    with _predictor(project, chosen) as predictor:
        contract = predictor.served.contract
        return score_table(
            table,
            output,
            predictor=predictor,
            contract=contract,
            version=chosen.ref,
            classes=chosen.manifest.spec.classes,
            chunk_rows=chunk_rows,
            keep_inputs=keep_inputs,
            on_bad=on_bad,
            max_bad_share=max_bad_share,
            excel_safe=excel_safe,
            protection=protection_of(contract, project.personal),
            version_digest=chosen.digest,
            seen=_seen(project, endpoint, chosen, contract) if recorded else None,
            progress=progress,
        )


def estimate_score(
    project: Project,
    table: Path,
    output: Path,
    *,
    version: str | None = None,
    endpoint: str | None = None,
    keep_inputs: bool = False,
) -> ScoreEstimate:
    """What :func:`score` would cost; a few rows are predicted, and nothing is written.

    Raises what :func:`score` would raise at its beginning.
    """
    chosen = version_or_live(project, version, endpoint)
    with _predictor(project, chosen) as predictor:
        return estimate(
            table,
            output,
            predictor=predictor,
            contract=predictor.served.contract,
            version=chosen.ref,
            classes=chosen.manifest.spec.classes,
            keep_inputs=keep_inputs,
        )


@contextmanager
def _predictor(project: Project, version: Version) -> Iterator[Predictor]:
    """A predictor of *version* that uses every core: it is alone, and asked for many rows."""
    predictor = predictor_of(project.registry, version, threads=usable_cores())
    try:
        yield predictor
    finally:
        predictor.close()


def _seen(project: Project, endpoint: str | None, version: Version, contract: Contract) -> Seen:
    return Seen(
        folder=project.home / "events",
        keyring=project.keyring,
        endpoint=endpoint or project.model,
        model=version.model,
        version=version.number,
        time=None if contract.time is None else contract.time.name,
    )


def version_or_live(project: Project, version: str | None, endpoint: str | None = None) -> Version:
    """The version that *version* names, or what is live on *endpoint* (the project's by default).

    Raises :class:`~shipway.errors.NotFoundError` when neither is there, and
    :class:`~shipway.errors.UsageError` when both are named.
    """
    if version is not None and endpoint is not None:
        raise UsageError(
            f"the version {version} and the endpoint {endpoint} are both named",
            next_step="name one of them: a version, or the endpoint whose live version it is",
        )
    if version is not None:
        return project.registry.resolve(version, project.model)
    name = endpoint or project.model
    state = project.registry.endpoint(name)
    if state is None or state.live is None:
        raise NotFoundError(
            f"nothing is live on the endpoint {name!r}",
            next_step="promote a version with `shipway promote`, or name one with --version",
        )
    return project.registry.version(state.model, state.live)
