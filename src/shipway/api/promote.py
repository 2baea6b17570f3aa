"""``promote`` and ``rollback``: which version an endpoint answers with, and why."""

from __future__ import annotations

import msgspec

from shipway.api.tag import tag_when_asked
from shipway.bootstrap.granted import process_limits
from shipway.bootstrap.project import Project
from shipway.bootstrap.trials import Trials, opponent
from shipway.domain.names import check_name
from shipway.rollout import switch
from shipway.security.acting import system_user
from shipway.serving.status import wait_for_workers

SETTLE_TIMEOUT_S = 30.0


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint's change; ``workers`` is how many processes of a running server follow it."""

    endpoint: str
    model: str
    before: int | None
    live: int
    sequence: int
    forced: bool
    evidence: int | None
    workers: int
    problems: tuple[str, ...] = ()
    dry_run: bool = False


def promote(
    project: Project,
    version: str | None = None,
    *,
    endpoint: str | None = None,
    force: bool = False,
    reason: str = "",
    dry_run: bool = False,
) -> Switched:
    """Route the endpoint to *version* (the newest by default), as its latest gate allows.

    The version is verified, loaded and warmed up in a process of its own first: one that does
    not get through that changes nothing. With *force* and a *reason* a version goes live against
    its verdict, and the history says so. Returns when every worker of a running server answers
    with it.

    Raises :class:`~shipway.errors.GateRefused` without a passed gate,
    :class:`~shipway.errors.NotAuthorised` where it takes two (``model.two_person``) and the version
    is one's own,
    :class:`~shipway.errors.ModelError` or :class:`~shipway.errors.IntegrityError` for a version
    that does not get through its trial, :class:`~shipway.errors.ConflictError` when somebody else
    was faster.
    """
    order = _order(project, endpoint, reason)
    registry = project.registry
    chosen = registry.resolve(version or "latest", project.model)
    made = switch.promote(
        registry,
        chosen,
        order,
        prove=lambda candidate: _trials(project).run(
            registry, candidate, against=opponent(registry, order.endpoint, candidate)
        ),
        force=force,
        dry_run=dry_run,
    )
    return _switched(project, made, dry_run=dry_run)


def rollback(
    project: Project,
    *,
    to: str | None = None,
    endpoint: str | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Switched:
    """Route the endpoint back to the version that was live before, or to *to*.

    The version comes back whole: model, contract, objectives and threshold. The rollback is a
    line of the history like any other change.

    Raises :class:`~shipway.errors.NotFoundError` when there is nothing to go back to.
    """
    order = _order(project, endpoint, reason)
    made = switch.rollback(
        project.registry,
        project.model,
        order,
        prove=lambda candidate: _trials(project).run(project.registry, candidate),
        to=project.registry.resolve(to, project.model) if to else None,
        dry_run=dry_run,
    )
    return _switched(project, made, dry_run=dry_run)


def _trials(project: Project) -> Trials:
    return Trials(
        project.home.absolute(),
        process_limits(project.settings.serve),
        project.environ,
        project.trust,
        project.encryption.opened_in,
    )


def _order(project: Project, endpoint: str | None, reason: str) -> switch.Order:
    return switch.Order(
        endpoint=project.model if endpoint is None else check_name(endpoint, what="endpoint name"),
        by=project.who,
        now=project.clock(),
        reason=reason,
        names=frozenset({project.who, system_user()}),
        two_person=project.settings.model.two_person,
    )


def _switched(project: Project, made: switch.Switch, *, dry_run: bool) -> Switched:
    state = made.state
    if not dry_run:
        tag_when_asked(project)
    workers = (
        ()
        if dry_run
        else wait_for_workers(
            project.home / "run", state.endpoint, state.sequence, timeout_s=SETTLE_TIMEOUT_S
        )
    )
    errors = [worker.endpoints[state.endpoint].error for worker in workers]
    return Switched(
        endpoint=state.endpoint,
        model=state.model,
        before=made.before,
        live=made.version.number,
        sequence=state.sequence,
        forced=made.forced,
        evidence=made.evidence,
        workers=sum(not error for error in errors),
        problems=tuple(error for error in errors if error),
        dry_run=dry_run,
    )
