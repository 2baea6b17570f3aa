"""One of many that use a store at once, until it is killed; it says what was acknowledged.

Each acknowledgement is a line of JSON in a file of its own, written when the call has returned.
"""

from __future__ import annotations

import json
import os
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - before the fork
from tests.stores import files, manifest

from shipway.domain.names import new_id
from shipway.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from shipway.registry.backup import back_up
from shipway.registry.collecting import collect
from shipway.registry.deleting import delete_version
from shipway.registry.opening import open_registry
from shipway.registry.records import EndpointState, Version
from shipway.registry.registry import Registry
from shipway.registry.restoring import restore  # noqa: F401 - before the fork

MODELS = ("flight-delay", "fraud")


class Writer:
    """Does one thing after another to a registry, by chance."""

    def __init__(self, registry: Registry, notes: Path, seed: str) -> None:
        self._registry = registry
        self._chance = random.Random(seed)
        self._folder = notes.parent
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._name = seed

    def step(self) -> None:
        """One of them; that another was faster is no failure."""
        doings = {
            self.publish: 6,
            self.promote: 4,
            self.roll_back: 2,
            self.delete: 2,
            self.judge: 2,
            self.load: 1,
            self.collect: 1,
            self.back_up: 1,
        }
        (do,) = self._chance.choices(list(doings), list(doings.values()))
        try:
            do(self._chance.choice(MODELS))
        except (ConflictError, NotFoundError, UsageError):
            return

    def publish(self, model: str) -> None:
        seed = new_id() if self._chance.random() < 0.7 else str(self._chance.randrange(12))
        contents = files(seed)
        version = self._registry.publish(
            manifest(contents, model=model), contents, by=self._name, now=_now()
        )
        self._note("versions", model=model, number=version.number, digest=version.digest)

    def promote(self, model: str) -> None:
        self._move(model, self._any(model).number, "promote")

    def roll_back(self, model: str) -> None:
        self._move(model, self._registry.rollback_target(model), "rollback")

    def delete(self, model: str) -> None:
        change = delete_version(
            self._registry, model, self._any(model).number, by=self._name, reason="", now=_now()
        )
        self._note("version_changes", model=model, number=change.number, sequence=change.sequence)

    def judge(self, model: str) -> None:
        record = self._registry.record_evidence(
            model,
            self._any(model).number,
            kind="gate",
            verdict="pass",
            body={"by": self._name},
            now=_now(),
        )
        self._note("evidence", id=record.id, model=model)

    def load(self, model: str) -> None:
        self._registry.open_files(self._any(model))

    def collect(self, _model: str) -> None:
        collect(self._registry, now=_now(), grace=timedelta(milliseconds=50))

    def back_up(self, _model: str) -> None:
        target = self._folder / f"{self._name}.tar"
        try:
            back_up(self._registry, target, beside=None, by=self._name, now=_now(), replace=True)
        except IntegrityError:
            return  # with so short a grace a collection takes what was deleted since it began
        self._note("backup", path=str(target))

    def _move(self, model: str, live: int, action: str) -> None:
        before = self._registry.endpoint(model)
        state: EndpointState = self._registry.move_endpoint(
            model,
            model=model,
            expected=before.sequence if before else 0,
            live=live,
            action=action,
            by=self._name,
            reason="a test",
            evidence=None,
            now=_now(),
        )
        self._note("endpoint_changes", endpoint=model, sequence=state.sequence, live=state.live)

    def _any(self, model: str) -> Version:
        newest = self._registry.models().get(model, 1)
        return self._registry.version(model, self._chance.randint(max(1, newest - 15), newest))

    def _note(self, what: str, **told: Any) -> None:
        os.write(self._notes, json.dumps([what, told]).encode() + b"\n")


_now = partial(datetime.now, UTC)


def main(home: str, notes: str, seed: str) -> None:
    """Use the store in *home* without end."""
    with open_registry(Path(home)) as registry:
        writer = Writer(registry, Path(notes), seed)
        while True:
            writer.step()
