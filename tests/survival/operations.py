"""What people do to a store, each as a whole command does it: opened, changed, closed."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from tests.stores import NOW, Store, files, manifest

from shipway.registry.backup import back_up
from shipway.registry.collecting import GRACE, collect
from shipway.registry.deleting import delete_version
from shipway.registry.opening import open_registry
from shipway.registry.records import Version
from shipway.registry.registry import Registry
from shipway.registry.restoring import restore
from shipway.rollout.switch import Order, promote, rollback
from shipway.security.keys import KeyRecord
from shipway.security.policy import Scope

MODEL = "flight-delay"
LATER = NOW + timedelta(days=30)
_KEPT = Path(__file__).parents[1] / "fixtures" / "stores"


@dataclass
class Place:
    """A folder with a ``store`` in it, and room beside it; what was done there so far."""

    folder: Path
    acknowledged: bool = False
    """Whether the operation has told its user that it is done."""

    @property
    def home(self) -> Path:
        """The folder of the store."""
        return self.folder / "store"

    @property
    def archive(self) -> Path:
        """The file of a backup."""
        return self.folder / "backup.tar"

    def copied(self, folder: Path) -> Place:
        """The same in another folder."""
        shutil.copytree(self.folder, folder)
        return Place(folder)


@dataclass(frozen=True)
class Operation:
    """What a person does: *run* on a place that *prepare* has made."""

    name: str
    prepare: Callable[[Place], None]
    run: Callable[[Place], None] = field(repr=False)


def _grown(place: Place) -> None:
    """A store in the middle of its life; nothing about it is left to chance."""
    store = Store(place.home)
    for seed in "abcd":
        store.publish(seed)
    store.publish("a", model="fraud")
    for number in (1, 2, 3):
        body: dict[str, object] = {"live": None, "judgements": []}
        store.registry.record_evidence(
            MODEL, number, kind="gate", verdict="pass", body=body, now=NOW
        )
    for number in (1, 2):
        _promote(number, Place(place.folder), store.registry)
    delete_version(store.registry, MODEL, 4, by="ben", reason="a mistake", now=NOW)
    collect(store.registry, now=NOW, grace=GRACE)
    key = KeyRecord(
        id="k1",
        digest="0" * 64,
        scopes=(Scope.VIEW,),
        name="ci",
        created_at=NOW,
        expires_at=LATER,
    )
    store.registry.add_key(key)
    for version in store.registry.versions(MODEL):
        store.registry.open_files(version)
    store.registry.close()
    (place.home / "events").mkdir(mode=0o700)
    (place.home / "events" / "kept.arrow").write_bytes(b"events" * 300)


def _old(place: Place) -> None:
    with tarfile.open(_KEPT / "schema-0001.tar.xz") as packed:
        packed.extractall(place.home, filter="data")
    place.home.chmod(0o700)


def _backed_up(place: Place) -> None:
    _grown(place)
    with open_registry(place.home) as registry:
        back_up(registry, place.archive, beside=place.home, by="anna", now=NOW)
    shutil.rmtree(place.home)


def _empty(place: Place) -> None:
    place.folder.mkdir(exist_ok=True)


def _with_registry(act: Callable[[Place, Registry], object], place: Place) -> None:
    """*act* on the registry as a command does, which has told its user before it closes."""
    with open_registry(place.home) as registry:
        act(place, registry)
        place.acknowledged = True


def _publish(seed: str, _place: Place, registry: Registry) -> None:
    contents = files(seed)
    registry.publish(manifest(contents), contents, by="anna", now=NOW)


def _order() -> Order:
    return Order(endpoint=MODEL, by="anna", now=NOW, reason="it is better")


def _promote(number: int, _place: Place, registry: Registry) -> None:
    promote(registry, registry.version(MODEL, number), _order(), prove=partial(_loads, registry))


def _rollback(_place: Place, registry: Registry) -> None:
    rollback(registry, MODEL, _order(), prove=partial(_loads, registry))


def _loads(registry: Registry, version: Version) -> None:
    registry.open_files(version)


def _delete(_place: Place, registry: Registry) -> None:
    delete_version(registry, MODEL, 3, by="ben", reason="a mistake", now=NOW)


def _gc(_place: Place, registry: Registry) -> None:
    assert collect(registry, now=LATER).removed


def _back_up(place: Place, registry: Registry) -> None:
    back_up(registry, place.archive, beside=place.home, by="anna", now=NOW, replace=True)


def _restore(place: Place) -> None:
    restore(place.archive, place.home)
    place.acknowledged = True


def _open(place: Place) -> None:
    with open_registry(place.home):
        place.acknowledged = True


def _judge(_place: Place, registry: Registry) -> None:
    registry.record_evidence(MODEL, 3, kind="gate", verdict="fail", body={"live": 2}, now=NOW)


def _revoke(_place: Place, registry: Registry) -> None:
    registry.revoke_key("k1", now=NOW)


def _load(_place: Place, registry: Registry) -> None:
    """A version that has no copy yet."""
    registry.open_files(registry.version("fraud", 1))


OPERATIONS = (
    Operation("publish", _grown, partial(_with_registry, partial(_publish, "new"))),
    Operation("publish-again", _grown, partial(_with_registry, partial(_publish, "d"))),
    Operation("promote", _grown, partial(_with_registry, partial(_promote, 3))),
    Operation("rollback", _grown, partial(_with_registry, _rollback)),
    Operation("delete", _grown, partial(_with_registry, _delete)),
    Operation("gc", _grown, partial(_with_registry, _gc)),
    Operation("judge", _grown, partial(_with_registry, _judge)),
    Operation("revoke", _grown, partial(_with_registry, _revoke)),
    Operation("load", _grown, partial(_with_registry, _load)),
    Operation("backup", _grown, partial(_with_registry, _back_up)),
    Operation("restore", _backed_up, _restore),
    Operation("migrate", _old, _open),
    Operation("begin", _empty, _open),
)
BY_NAME = {operation.name: operation for operation in OPERATIONS}
