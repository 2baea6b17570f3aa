"""Endpoints: moved by compare-and-set, remembered for ever, and led back."""

from __future__ import annotations

import sqlite3
import threading
from datetime import timedelta
from typing import Any

import pytest
from tests.stores import Store

from shipway.errors import ConflictError, NameNotAllowed, NotFoundError, UsageError
from shipway.registry.current import METADATA_FILE
from shipway.registry.records import EndpointState


def move(store: Store, live: int, expected: int, **options: Any) -> EndpointState:
    settings: dict[str, Any] = {
        "model": "flight-delay",
        "action": "promote",
        "by": "anna",
        "reason": "it is better",
        "evidence": None,
        "now": store.now,
        **options,
    }
    return store.registry.move_endpoint("production", expected=expected, live=live, **settings)


@pytest.fixture(autouse=True)
def _versions(store: Store) -> None:
    for seed in "abc":
        store.publish(seed)


def test_moves_are_history(store: Store) -> None:
    """Each move is a line with who, when, why, from what, to what and on which evidence."""
    assert store.registry.endpoint("production") is None
    assert store.registry.endpoints() == ()
    gate = store.registry.record_evidence(
        "flight-delay", 1, kind="gate", verdict="pass", body={"judgements": []}, now=store.now
    )
    first = move(store, 1, 0, evidence=gate.id)
    store.now += timedelta(hours=1)
    second = move(store, 2, first.sequence, forced=True, reason="a fix", by="ben")
    store.reopen()
    assert store.registry.endpoint("production") == second
    assert store.registry.endpoints() == (second,)
    one, two = store.registry.history("production")
    assert (one.before, one.live, one.evidence, one.forced) == (None, 1, gate.id, False)
    assert (two.before, two.live, two.evidence, two.forced) == (1, 2, None, True)
    assert (two.sequence, two.by, two.reason, two.at) == (2, "ben", "a fix", store.now)


def test_stale_decision(store: Store) -> None:
    """A move decided on an older state changes nothing, and the error tells the present one."""
    move(store, 1, 0)
    before = store.registry.history("production"), store.registry.revision()
    for expected in (0, 2, 7):
        with pytest.raises(ConflictError, match=r"flight-delay@1 is live since change 1 by anna"):
            move(store, 2, expected)
    assert (store.registry.history("production"), store.registry.revision()) == before


def test_endpoint_that_is_not_there(store: Store) -> None:
    """A move of an endpoint that does not exist, on a state that it had, is a conflict."""
    with pytest.raises(ConflictError, match="it does not exist"):
        move(store, 1, 3)


def test_moving_to_what_is_live(store: Store) -> None:
    """A move to the version that is live already adds no line to the history."""
    state = move(store, 1, 0)
    assert move(store, 1, state.sequence) == state
    assert len(store.registry.history("production")) == 1


def test_of_many_one_wins(store: Store) -> None:
    """Of 8 threads that move on the same state exactly one succeeds; the others are told."""
    move(store, 1, 0)
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def attempt(index: int) -> None:
        start.wait()
        try:
            move(store, 2 + index % 2, 1, by=f"thread {index}")
            outcomes.append("moved")
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=attempt, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 7 + ["moved"]
    assert [change.sequence for change in store.registry.history("production")] == [1, 2]


def test_what_a_move_rests_on(store: Store) -> None:
    """A version, an evidence record and a model that do not fit together are refused."""
    gate = store.registry.record_evidence(
        "flight-delay", 2, kind="gate", verdict="fail", body={}, now=store.now
    )
    with pytest.raises(NotFoundError, match="flight-delay@9"):
        move(store, 9, 0)
    with pytest.raises(NotFoundError, match="no evidence 99"):
        move(store, 1, 0, evidence=99)
    with pytest.raises(UsageError, match=r"is about flight-delay@2, not flight-delay@1"):
        move(store, 1, 0, evidence=gate.id)
    with pytest.raises(UsageError, match="no way to move"):
        move(store, 1, 0, action="deploy")
    move(store, 1, 0)
    store.publish("a", model="fraud")
    with pytest.raises(UsageError, match="is of the model flight-delay"):
        move(store, 1, 1, model="fraud")
    with pytest.raises(NameNotAllowed):
        store.registry.move_endpoint(
            "Prod",
            model="fraud",
            expected=0,
            live=1,
            action="promote",
            by="",
            reason="",
            evidence=None,
            now=store.now,
        )


def test_back_and_forth(store: Store) -> None:
    """The target of a rollback skips what was rolled back from, and runs out with a reason."""
    with pytest.raises(NotFoundError, match="no version live before"):
        store.registry.rollback_target("production")
    move(store, 1, 0)
    move(store, 2, 1)
    assert store.registry.rollback_target("production") == 1
    move(store, 1, 2, action="rollback")
    move(store, 3, 3)
    assert store.registry.rollback_target("production") == 1
    move(store, 1, 4, action="rollback")
    with pytest.raises(NotFoundError, match="no version live before"):
        store.registry.rollback_target("production")


def test_history_cannot_be_changed(store: Store) -> None:
    """The database itself refuses to change or delete a version, evidence or a change."""
    store.registry.record_evidence(
        "flight-delay", 1, kind="gate", verdict="pass", body={}, now=store.now
    )
    move(store, 1, 0)
    connection = sqlite3.connect(store.home / METADATA_FILE)
    for table, column in (
        ("versions", "created_by"),
        ("evidence", "verdict"),
        ("endpoint_changes", "reason"),
    ):
        for statement in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):  # noqa: S608
            with pytest.raises(sqlite3.IntegrityError, match="is append-only"):
                connection.execute(statement)
    connection.close()


def test_evidence_comes_back(store: Store) -> None:
    """Evidence is kept as JSON under growing ids, of the version that it is about."""
    body = {"judgements": [{"metric": "roc_auc", "low": 0.7, "high": None}], "n": 10}
    records = [
        store.registry.record_evidence(
            "flight-delay", 1, kind="gate", verdict=verdict, body=body, now=store.now
        )
        for verdict in ("undecided", "pass")
    ]
    store.reopen()
    assert list(store.registry.evidence("flight-delay", 1)) == records
    assert records[0].id < records[1].id
    assert records[1].body == body
    assert store.registry.evidence("flight-delay", 2) == ()
    with pytest.raises(NotFoundError):
        store.registry.record_evidence(
            "flight-delay", 4, kind="gate", verdict="pass", body={}, now=store.now
        )
