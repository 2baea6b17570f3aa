"""Changing an endpoint while somebody else does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.stores import NOW, Store

from shipway.domain.objectives import Objective, Objectives, Reference
from shipway.errors import ConflictError, GateRefused, NotAuthorised, TrialFailed, UsageError
from shipway.registry.records import EndpointChange, Version
from shipway.registry.trail_files import read_lines
from shipway.rollout import switch
from shipway.rollout.switch import Order
from shipway.security.audit import read_line

MODEL = "flight-delay"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Three versions; 1 and then 2 were put live."""
    made = Store(tmp_path / ".shipway")
    for seed in "abc":
        made.publish(seed)
    for number in (1, 2):
        put_live(made, made.registry.version(MODEL, number))
    yield made
    made.registry.close()


def order(**said: object) -> Order:
    return Order(**{"endpoint": MODEL, "by": "anna", "now": NOW, "reason": "why", **said})  # type: ignore[arg-type]


def put_live(store: Store, version: Version) -> None:
    switch.promote(store.registry, version, order(), prove=lambda _: None, force=True)


def test_a_rollback_goes_back_from_what_it_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion between a rollback's look at the history and its change is a conflict."""
    registry = store.registry
    history = registry.history

    def overtaken(name: str) -> tuple[EndpointChange, ...]:
        seen = history(name)
        monkeypatch.setattr(registry, "history", history)
        put_live(store, registry.version(MODEL, 3))
        return seen

    monkeypatch.setattr(registry, "history", overtaken)
    with pytest.raises(ConflictError, match="not at change 2"):
        switch.rollback(registry, MODEL, order(), prove=lambda _: None)
    state = registry.endpoint(MODEL)
    assert state is not None
    assert (state.live, state.sequence) == (3, 3)


def test_an_endpoint_keeps_its_model(store: Store) -> None:
    """A version of another model is told from the one that is live, though the numbers agree."""
    other = store.publish("x", model="other")
    store.publish("y", model="other")
    second = store.registry.version("other", 2)
    for chosen in (other, second):
        with pytest.raises(UsageError, match="is of the model flight-delay"):
            switch.promote(store.registry, chosen, order(), prove=lambda _: None, force=True)


def test_a_pass_against_a_version_that_is_no_longer_live_does_not_promote(
    store: Store,
) -> None:
    """ "Better than live" is about what is live when the version takes over."""
    registry = store.registry
    third = registry.version(MODEL, 3)
    asking = Objectives(
        task=third.manifest.task,
        objectives=(Objective(metric="roc_auc", better_than=Reference.LIVE),),
    )
    manifest = msgspec.structs.replace(third.manifest, objectives=asking)
    contents = {path: file.read_bytes() for path, file in registry.open_files(third).items()}
    fourth = registry.publish(manifest, contents, by="anna", now=NOW)

    def gated(live: int) -> None:
        body = {"live": live, "judgements": []}
        registry.record_evidence(MODEL, 4, kind="gate", verdict="pass", body=body, now=NOW)

    gated(1)
    with pytest.raises(GateRefused, match="against version 1, and version 2 is live now"):
        switch.promote(registry, fourth, order(), prove=lambda _: None)
    gated(2)
    made = switch.promote(registry, fourth, order(), prove=lambda _: None)
    assert made.state.live == 4


def test_it_takes_two(store: Store) -> None:
    """Where it takes two, nobody promotes his own version, by whichever name, nor forces it."""
    third = store.registry.version(MODEL, 3)
    for said in ({"by": "anna"}, {"by": "k1", "names": frozenset({"anna", "k1"})}):
        mine = order(two_person=True, **said)
        for force in (False, True):
            with pytest.raises(NotAuthorised, match="second person"):
                switch.promote(store.registry, third, mine, prove=lambda _: None, force=force)
        with pytest.raises(NotAuthorised, match="second person"):
            switch.rollback(store.registry, MODEL, mine, prove=lambda _: None, to=third)
    assert store.registry.history(MODEL)[-1].live == 2
    lines = [read_line(data) for _, data in read_lines(store.home / "audit")]
    refused = [(line.what, line.object, line.code) for line in lines if line.outcome == "refused"]
    assert refused == 2 * [
        ("endpoint.promote", MODEL, "access.not-authorised"),
        ("endpoint.promote", MODEL, "access.not-authorised"),
        ("endpoint.rollback", MODEL, "access.not-authorised"),
    ]
    other = order(two_person=True, by="ben")
    switch.promote(store.registry, third, other, prove=lambda _: None, force=True)
    anna = order(two_person=True)
    back = switch.rollback(store.registry, MODEL, anna, prove=lambda _: None)
    assert back.version.number == 2, "what was approved once may come back by anybody's hand"
    one = store.registry.version(MODEL, 1)
    switch.rollback(store.registry, MODEL, anna, prove=lambda _: None, to=one)


def test_a_refused_promotion_is_told(store: Store) -> None:
    """What a gate forbids, a trial brings down or nobody finds is a line of the audit log."""

    def fail(_: Version) -> None:
        raise TrialFailed("it crashed", next_step="mend it")

    third = store.registry.version(MODEL, 3)
    with pytest.raises(GateRefused):
        switch.promote(store.registry, third, order(), prove=lambda _: None)
    with pytest.raises(TrialFailed):
        switch.promote(store.registry, third, order(), prove=fail, force=True)
    with pytest.raises(UsageError):
        switch.promote(store.registry, third, order(reason=""), prove=fail, force=True)
    lines = [read_line(data) for _, data in read_lines(store.home / "audit")][-3:]
    assert [(line.outcome, line.code) for line in lines] == [
        ("refused", "gate.refused"),
        ("failed", "model.trial-failed"),
        ("refused", "usage.invalid"),
    ]
