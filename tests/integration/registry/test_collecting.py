"""Deleting and collecting: nothing needed is ever lost, everything else goes."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.faults import OPERATIONS, Fault
from tests.stores import NOW, Store, files, manifest

from shipway.errors import ConflictError, NotFoundError, ShipwayError, StoreError
from shipway.registry.collecting import GRACE, Collected, collect
from shipway.registry.deleting import delete_version
from shipway.registry.health import Level, store_health
from shipway.registry.history import deletions
from shipway.registry.placing import put_and_append
from shipway.registry.ports import BlobsWereUnneeded
from shipway.registry.records import Version, VersionChange

NONE = timedelta(0)


def delete(store: Store, number: int, model: str = "flight-delay") -> VersionChange:
    return delete_version(
        store.registry, model, number, by="ben", reason="a mistake", now=store.now
    )


def promote(store: Store, number: int, expected: int) -> None:
    store.registry.move_endpoint(
        "flight-delay",
        model="flight-delay",
        expected=expected,
        live=number,
        action="promote",
        by="anna",
        reason="",
        evidence=None,
        now=store.now,
    )


def gc(store: Store, grace: timedelta = NONE, *, dry_run: bool = False) -> Collected:
    return collect(store.registry, now=store.now, grace=grace, dry_run=dry_run)


def blobs_of(version: Version) -> set[str]:
    return {version.digest, *(entry.digest for entry in version.manifest.files)}


def kept(store: Store) -> set[str]:
    return set(store.registry.stores[1].digests())


def assert_whole(store: Store) -> None:
    """Every version that is visible has every byte."""
    for model in store.registry.models():
        for version in store.registry.versions(model):
            assert blobs_of(version) <= kept(store)
            assert store.registry.open_files(version)


def test_a_deleted_version_leaves_its_number(store: Store) -> None:
    """A deleted version is told with who, when and why; its number is never given again."""
    for seed in "ab":
        store.publish(seed)
    change = delete(store, 2)
    assert (change.by, change.reason, change.at) == ("ben", "a mistake", NOW)
    assert [version.number for version in store.registry.versions("flight-delay")] == [1]
    assert store.registry.resolve("latest").number == 1
    with pytest.raises(NotFoundError, match=r"deleted by ben at 2026.*: a mistake"):
        store.registry.version("flight-delay", 2)
    with pytest.raises(NotFoundError, match="was deleted by ben"):
        promote(store, 2, 0)
    assert store.publish("c").number == 3


def test_a_model_may_lose_all_its_versions(store: Store) -> None:
    """A model without a version is no model, and goes on counting where it was."""
    store.publish("a")
    delete(store, 1)
    assert store.registry.models() == {}
    assert store.publish("b").number == 2


def test_the_same_bytes_bring_a_version_back(store: Store) -> None:
    """Published again, even after its files were collected, it is the version that it was."""
    first = store.publish("a")
    store.publish("b")
    delete(store, 1)
    assert gc(store).removed
    assert store.publish("a", by="cleo") == first
    assert_whole(store)
    assert deletions(store.registry.stores[0].deletions.list("flight-delay")) == ()
    delete(store, 1)
    with pytest.raises(NotFoundError):
        delete(store, 1)


def test_what_was_live_stays(store: Store) -> None:
    """A version that is or was live cannot be deleted, because the history rests on it."""
    for seed in "abc":
        store.publish(seed)
    promote(store, 1, 0)
    promote(store, 2, 1)
    for number in (1, 2):
        with pytest.raises(ConflictError, match="is or was live"):
            delete(store, number)
    delete(store, 3)


def test_only_what_is_unneeded_goes_and_late(store: Store) -> None:
    """Files go once they are unneeded for the grace period; shared ones stay with their version."""
    stays, goes = store.publish("a"), store.publish("b")
    store.registry.open_files(goes)
    delete(store, 2)
    first = gc(store, GRACE)
    assert (first.removed, first.waiting, first.next_at) == ((), 4, NOW + GRACE)
    store.now += GRACE - timedelta(seconds=1)
    assert gc(store, GRACE).removed == ()
    store.now += timedelta(seconds=1)
    told = gc(store, GRACE, dry_run=True)
    assert blobs_of(goes) <= kept(store)
    done = gc(store, GRACE)
    assert set(done.removed) == set(told.removed)
    assert done.freed_bytes > 500
    assert not (blobs_of(goes) - blobs_of(stays)) & kept(store)
    assert not store.cached(goes, "model.onnx").exists()
    assert_whole(store)


def test_evidence_keeps_what_it_names(store: Store) -> None:
    """A blob that a record names anywhere is needed."""
    (digest,) = store.registry.stores[1].put([b"a table that the gate was held on"])
    store.publish("a")
    body = {"held_on": {"table": digest}}
    store.registry.record_evidence(
        "flight-delay", 1, kind="gate", verdict="pass", body=body, now=NOW
    )
    assert gc(store).removed == ()
    assert digest in kept(store)


def test_doctor_tells_of_what_is_too_much_and_too_little(store: Store) -> None:
    """Files that nothing needs are told without alarm; a missing manifest is an error."""
    version = store.publish("a")
    store.registry.stores[1].put([b"orphan"])
    found = {one.code: one for one in store_health(store.home)}
    assert found["store.unneeded"].level is Level.OK
    assert "shipway gc" in found["store.unneeded"].next_step
    gc(store)
    assert "store.unneeded" not in {one.code for one in store_health(store.home)}
    store.registry.stores[1].remove(version.digest)
    errors = [one.message for one in store_health(store.home) if one.level is Level.ERROR]
    assert errors == ["flight-delay@1: its manifest is missing from the store"]


def test_orphans_of_a_killed_publisher_go(store: Store) -> None:
    """What was put and never became a version is collected."""
    store.registry.stores[1].put([b"orphan"])
    assert len(gc(store).removed) == 1
    assert gc(store).removed == ()
    assert kept(store) == set()


def test_a_publisher_between_its_two_steps(store: Store) -> None:
    """A collection between the bytes and the record makes the publisher put its bytes again."""
    first = store.publish("a")
    delete(store, 1)
    real = store.registry.stores[0].versions.append
    rounds: list[Collected] = []

    def append_late(*arguments: object, **options: object) -> Version:
        if not rounds:
            rounds.append(gc(store))
            assert set(rounds[0].removed) >= blobs_of(first) - {first.digest}
        return real(*arguments, **options)  # type: ignore[arg-type]

    store.registry.stores[0].versions.append = append_late  # type: ignore[method-assign]
    assert store.publish("a") == first
    assert rounds
    assert_whole(store)


def test_a_collection_that_never_lets_go(store: Store) -> None:
    """A publisher that is always overtaken gives up with what to do, having changed nothing."""

    def overtaken() -> None:
        raise BlobsWereUnneeded

    with pytest.raises(StoreError, match="20 times") as caught:
        put_and_append(store.registry.stores[1], lambda: ([b"x"], overtaken))
    assert "grace" in caught.value.next_step


def test_publishers_and_collections_at_once(store: Store) -> None:
    """Publishers, deleters and collections without grace, all at once: no version loses a byte."""
    steps: list[list[Callable[[], object]]] = [
        [partial(store.publish, f"{index % 5}") for index in range(30)],
        [partial(store.publish, f"{index % 5}") for index in range(30)],
        [partial(delete, store, index // 4 + 1) for index in range(20)],
        [partial(gc, store)] * 25,
        [partial(gc, store)] * 25,
    ]
    failed: list[ShipwayError] = []
    threads = [threading.Thread(target=take, args=(mine, failed)) for mine in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert_whole(store)
    for seed in "01234":
        store.publish(seed)
    numbers = [version.number for version in store.registry.versions("flight-delay")]
    assert numbers == [1, 2, 3, 4, 5]
    assert_whole(store)


def take(steps: Sequence[Callable[[], object]], failed: list[ShipwayError]) -> None:
    """Take *steps* in turn; that a version is not there just now is no failure."""
    for step in steps:
        try:
            step()
        except NotFoundError:
            continue
        except ShipwayError as error:
            failed.append(error)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_disk_that_fails_at_every_step(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whichever file operation fails, a collection loses nothing needed, and the next one ends."""
    store.publish("stays")
    fault = Fault(name, errno.EIO)
    while fault.next():
        version = store.publish(f"goes {fault.step}")
        store.registry.open_files(version)
        delete(store, version.number)
        with monkeypatch.context() as patch:
            patch.setattr(*fault.target, fault.call)
            with suppress(StoreError):
                gc(store)
        assert_whole(store)
        gc(store)
        assert kept(store) == needed(store)
    store.reopen()
    assert_whole(store)


def needed(store: Store) -> set[str]:
    found: set[str] = set()
    for version in store.registry.versions("flight-delay"):
        found |= blobs_of(version)
    return found | {image.digest for image in store.registry.stores[0].versions.images()}


def test_same_bytes_at_once(tmp_path: Path) -> None:
    """The same bytes published by many at once, each with a store of its own opened, are one."""
    start, found = threading.Barrier(8), []
    Store(tmp_path / "store").registry.close()

    def publish() -> None:
        mine = Store(tmp_path / "store")
        start.wait()
        found.append(mine.publish("same"))
        found.append(mine.publish("other"))
        mine.registry.close()

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {version.number for version in found} == {1, 2}
    assert len({version.digest for version in found}) == 2


def names() -> Iterator[tuple[str, bool]]:
    yield from ((name, True) for name in ("a", "0", "a.b_c-d", "a" * 128, "com10", "conx"))
    yield from (
        (name, False)
        for name in (
            "A",
            "a" * 129,
            "con",
            "nul.txt",
            "com1",
            "lpt9.x",
            "a.",
            "-a",
            ".a",
            "ä",
            "a/b",
        )
    )


@pytest.mark.parametrize(("name", "allowed"), list(names()))
def test_names(store: Store, name: str, allowed: bool) -> None:
    """A model's name is one file name on every system, and in one case only."""
    contents = files("a")
    try:
        store.registry.publish(manifest(contents, model=name), contents, by="anna", now=NOW)
    except ShipwayError:
        assert not allowed
    else:
        assert allowed
