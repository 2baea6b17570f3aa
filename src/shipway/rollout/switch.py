"""Changing what an endpoint answers with: proved first, then one compare-and-set, then history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from shipway.domain.objectives import Reference
from shipway.errors import ConflictError, GateRefused, NotFoundError, UsageError
from shipway.evidence.verdict import Judgement, Verdict
from shipway.registry.audited import telling
from shipway.registry.records import EndpointState, EvidenceRecord, Version
from shipway.registry.registry import Registry
from shipway.rollout.decide import check_promotion, check_two_person

Prove = Callable[[Version], None]
"""Loads a version and lets it answer once; raises if it cannot, and then nothing changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who wants an endpoint changed, why, and as of which sequence (None: whatever it is now).

    ``names`` are all by which who asks is known, ``by`` is how the history calls him; they count
    where *two_person* says that nobody approves what he has made himself.
    """

    endpoint: str
    by: str
    now: datetime
    reason: str = ""
    expected: int | None = None
    names: frozenset[str] = frozenset()
    two_person: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A change that is about to be made, or was made: its ``state`` is that afterwards."""

    before: int | None
    version: Version
    evidence: int | None
    forced: bool
    state: EndpointState


def promote(
    registry: Registry,
    chosen: Version,
    order: Order,
    *,
    prove: Prove,
    force: bool = False,
    dry_run: bool = False,
) -> Switch:
    """Route the endpoint to *chosen*, as its newest gate allows or as *force* with a reason says.

    Raises :class:`~shipway.errors.GateRefused` without a passed gate, or with one that was
    passed against a version that is no longer live; :class:`~shipway.errors.NotAuthorised` where
    it takes two and who asks has made the version; what *prove* raises; and
    :class:`~shipway.errors.ConflictError` when somebody else changed the endpoint first.
    """
    with telling(registry.trail, "endpoint.promote", order.endpoint, dry_run=dry_run):
        _check_two(order, chosen)
        return _promote(registry, chosen, order, prove=prove, force=force, dry_run=dry_run)


def _promote(
    registry: Registry,
    chosen: Version,
    order: Order,
    *,
    prove: Prove,
    force: bool,
    dry_run: bool,
) -> Switch:
    state = _state(registry, chosen.model, order)
    gated = latest_gate(registry, chosen)
    verdict = Verdict(gated.verdict) if gated else None
    if gated is not None and verdict is Verdict.PASS and not force:
        _check_opponent(chosen, gated, state)
    check_promotion(
        chosen.ref,
        verdict,
        force=force,
        reason=order.reason,
        judgements=_judgements(gated) if gated else (),
    )
    return _switch(
        registry,
        chosen,
        order,
        state,
        prove=prove,
        action="promote",
        evidence=gated.id if gated else None,
        forced=verdict is not Verdict.PASS,
        dry_run=dry_run,
    )


def rollback(
    registry: Registry,
    model: str,
    order: Order,
    *,
    prove: Prove,
    to: Version | None = None,
    dry_run: bool = False,
) -> Switch:
    """Route the endpoint to the version that was live before, or to *to*, whole.

    It rests on what that version was last gated on, whatever the verdict: going back asks for
    no permission.

    Raises :class:`~shipway.errors.NotFoundError` when there is nothing to go back to.
    Raises :class:`~shipway.errors.NotFoundError` when there is nothing to go back to, and
    :class:`~shipway.errors.NotAuthorised` where it takes two and *to*, which was never live there,
    is of who asks.
    """
    with telling(registry.trail, "endpoint.rollback", order.endpoint, dry_run=dry_run):
        if to is not None and order.two_person:
            lives = {change.live for change in registry.history(order.endpoint)}
            if to.number not in lives:
                _check_two(order, to)
        return _rollback(registry, model, order, prove=prove, to=to, dry_run=dry_run)


def _rollback(
    registry: Registry,
    model: str,
    order: Order,
    *,
    prove: Prove,
    to: Version | None,
    dry_run: bool,
) -> Switch:
    state = _state(registry, model, order)  # before the target: a change in between is a conflict
    if not state.sequence:
        raise NotFoundError(
            f"the endpoint {order.endpoint!r} has never had a live version",
            next_step="promote one first: `shipway promote`",
        )
    chosen = to or registry.version(model, registry.rollback_target(order.endpoint))
    gated = latest_gate(registry, chosen)
    return _switch(
        registry,
        chosen,
        order,
        state,
        prove=prove,
        action="rollback",
        evidence=gated.id if gated else None,
        forced=False,
        dry_run=dry_run,
    )


def latest_gate(registry: Registry, version: Version) -> EvidenceRecord | None:
    """The newest gate record of *version*, or None if it was never gated."""
    records = registry.evidence(version.model, version.number)
    gates = [record for record in records if record.kind == "gate"]
    return max(gates, key=lambda record: record.id, default=None)


def _check_two(order: Order, chosen: Version) -> None:
    if order.two_person:
        check_two_person(chosen.ref, chosen.created_by, order.names | {order.by})


def _check_opponent(chosen: Version, gated: EvidenceRecord, state: EndpointState) -> None:
    """Refuse a pass that compared *chosen* with another version than the one live now."""
    against = gated.body.get("live")
    asks = any(
        objective.better_than is Reference.LIVE
        for objective in chosen.manifest.objectives.objectives
    )
    if asks and state.live is not None and against != state.live:
        compared = "before any was live" if against is None else f"against version {against}"
        raise GateRefused(
            f"{chosen.ref} passed its gate {compared}, and version {state.live} is live now",
            next_step=f"gate it again: `shipway gate {chosen.number}`, or force it with --force"
            " --reason",
        )


def _judgements(gated: EvidenceRecord) -> tuple[Judgement, ...]:
    """What the gate said of each objective, from its record."""
    return msgspec.convert(gated.body.get("judgements", ()), tuple[Judgement, ...])


def _state(registry: Registry, model: str, order: Order) -> EndpointState:
    """The endpoint as it stands: what is decided from now on holds for this sequence alone."""
    found = registry.endpoint(order.endpoint)
    return found or EndpointState(endpoint=order.endpoint, model=model, live=None, sequence=0)


def _switch(
    registry: Registry,
    chosen: Version,
    order: Order,
    state: EndpointState,
    *,
    prove: Prove,
    action: str,
    evidence: int | None,
    forced: bool,
    dry_run: bool,
) -> Switch:
    if state.model != chosen.model:
        raise UsageError(
            f"the endpoint {order.endpoint!r} is of the model {state.model} and cannot serve"
            f" {chosen.model}",
            next_step="give the other model an endpoint of its own: `--endpoint NAME`",
        )
    if state.live == chosen.number:
        raise UsageError(
            f"{chosen.ref} is live on {order.endpoint!r} already",
            next_step="see what there is with `shipway versions`",
        )
    if order.expected is not None and order.expected != state.sequence:
        raise ConflictError(
            f"the endpoint {order.endpoint!r} is at change {state.sequence} (version {state.live}"
            f" is live), not at {order.expected}",
            next_step="look at its history with `shipway versions` and decide anew",
        )
    prove(chosen)
    after = state
    if not dry_run:
        after = registry.move_endpoint(
            order.endpoint,
            model=chosen.model,
            expected=state.sequence,
            live=chosen.number,
            action=action,
            by=order.by,
            reason=order.reason.strip() or _usual_reason(action, state),
            evidence=evidence,
            forced=forced,
            now=order.now,
        )
    return Switch(before=state.live, version=chosen, evidence=evidence, forced=forced, state=after)


def _usual_reason(action: str, state: EndpointState) -> str:
    """Why an endpoint is changed when nobody says it."""
    if action == "promote":
        return "its gate passed"
    return f"back from version {state.live}"
