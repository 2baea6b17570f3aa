"""Any order of all that can be done to a registry, beside a model of it in plain Python."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.soak.scale import sized
from tests.stores import NOW, files, manifest
from tests.survival.invariants import breaches_of

from shipway.errors import ConflictError, NotFoundError, UsageError
from shipway.registry.addresses import Addresses
from shipway.registry.backup import back_up
from shipway.registry.collecting import collect
from shipway.registry.deleting import delete_version
from shipway.registry.opening import open_registry
from shipway.registry.registry import Registry
from shipway.registry.restoring import restore

STEPS = sized(300, 20_000)
IN_ONE = 50
MODELS = st.sampled_from(["fraud", "flight-delay"])
NUMBERS = st.integers(1, 6)
Where = Callable[[], str]
"""Gives the address of new records, or "" for those of the folder."""


@dataclass
class Told:
    """What a registry should tell: nothing but lists."""

    seeds: dict[str, list[str]] = field(default_factory=dict)
    deleted: dict[str, dict[int, int]] = field(default_factory=dict)
    """How often each version was deleted or brought back."""
    lives: dict[str, list[int]] = field(default_factory=dict)
    trails: dict[str, list[int]] = field(default_factory=dict)
    verdicts: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def there(self, model: str, number: int) -> bool:
        """Whether that version can be seen."""
        exists = 0 < number <= len(self.seeds.get(model, []))
        return exists and not self.deleted.get(model, {}).get(number, 0) % 2

    def numbers(self, model: str) -> list[int]:
        """The versions that can be seen."""
        return [
            number
            for number in range(1, len(self.seeds.get(model, [])) + 1)
            if self.there(model, number)
        ]

    def turn(self, model: str, number: int) -> int:
        """Delete a version or bring it back; how often that was done."""
        counts = self.deleted.setdefault(model, {})
        counts[number] = counts.get(number, 0) + 1
        return counts[number]


class RegistryMachine(RuleBasedStateMachine):
    """A store beside what it should tell. Each model has an endpoint of its name."""

    where: ClassVar[Where]
    steps: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.places = 0
        self.told = Told()
        self.saved: tuple[Path, Told] | None = None
        self.move_to_new_place()
        self.registry: Registry = open_registry(self.home, self.addresses)

    def move_to_new_place(self) -> None:
        self.places += 1
        self.home = self.folder / f"store-{self.places}"
        self.addresses = Addresses(records=type(self).where())

    def teardown(self) -> None:
        if hasattr(self, "registry"):
            try:
                assert list(breaches_of(self.registry)) == []
            finally:
                self.registry.close()
                shutil.rmtree(self.folder)

    @rule(model=MODELS, seed=st.sampled_from("abcdef"))
    def publish(self, model: str, seed: str) -> None:
        seeds = self.told.seeds.setdefault(model, [])
        contents = files(seed)
        version = self.registry.publish(
            manifest(contents, model=model), contents, by="anna", now=NOW
        )
        if seed not in seeds:
            seeds.append(seed)
        number = seeds.index(seed) + 1
        assert version.number == number
        if not self.told.there(model, number):
            self.told.turn(model, number)

    @rule(model=MODELS, seed=st.sampled_from("abcdef"))
    def publish_what_is_not_described(self, model: str, seed: str) -> None:
        contents = files(seed)
        described = manifest(contents, model=model)
        with pytest.raises(UsageError):
            self.registry.publish(
                described, {**contents, "model.onnx": b"other"}, by="anna", now=NOW
            )

    @rule(model=MODELS, live=NUMBERS, stale=st.sampled_from([0, 0, 0, -1, 1]))
    def promote(self, model: str, live: int, stale: int) -> None:
        lives = self.told.lives.get(model, [])
        try:
            self.move(model, len(lives) + stale, live, "promote")
        except NotFoundError:
            assert not self.told.there(model, live)
        except ConflictError:
            assert stale != 0
        else:
            assert stale == 0
            assert self.told.there(model, live)
            if lives[-1:] != [live]:
                self.told.lives.setdefault(model, []).append(live)
                self.told.trails.setdefault(model, []).append(live)

    @rule(model=MODELS)
    def roll_back(self, model: str) -> None:
        trail = self.told.trails.get(model, [])
        try:
            target = self.registry.rollback_target(model)
        except NotFoundError:
            assert len(trail) < 2
            return
        assert target == trail[-2]
        self.move(model, len(self.told.lives[model]), target, "rollback")
        trail.pop()
        self.told.lives[model].append(target)

    @precondition(lambda self: self.told.lives.get("fraud") and self.told.there("flight-delay", 1))
    @rule()
    def confuse_models(self) -> None:
        with pytest.raises(UsageError):
            self.move("fraud", len(self.told.lives["fraud"]), 1, "promote", of="flight-delay")

    @rule(model=MODELS, number=NUMBERS)
    def delete(self, model: str, number: int) -> None:
        was_live = number in self.told.lives.get(model, [])
        try:
            change = delete_version(self.registry, model, number, by="ben", reason="", now=NOW)
        except NotFoundError:
            assert not self.told.there(model, number)
        except ConflictError:
            assert was_live
        else:
            assert self.told.there(model, number)
            assert not was_live
            assert change.sequence == self.told.turn(model, number)

    @rule(model=MODELS, number=NUMBERS, verdict=st.sampled_from(["pass", "fail"]))
    def judge(self, model: str, number: int, verdict: str) -> None:
        try:
            self.registry.record_evidence(
                model, number, kind="gate", verdict=verdict, body={"x": 1.5}, now=NOW
            )
        except NotFoundError:
            assert not self.told.there(model, number)
        else:
            self.told.verdicts.setdefault((model, number), []).append(verdict)

    @rule(grace=st.sampled_from([0, 0, 7]))
    def collect(self, grace: int) -> None:
        collect(self.registry, now=NOW, grace=timedelta(days=grace))

    @rule(model=MODELS, number=NUMBERS)
    def load(self, model: str, number: int) -> None:
        if not self.told.there(model, number):
            with pytest.raises(NotFoundError):
                self.registry.version(model, number)
            return
        opened = self.registry.open_files(self.registry.version(model, number))
        seed = self.told.seeds[model][number - 1]
        assert {path: file.read_bytes() for path, file in opened.items()} == files(seed)

    @rule()
    def back_up(self) -> None:
        archive = self.folder / "backup.tar"
        back_up(self.registry, archive, beside=None, by="anna", now=NOW, replace=True)
        self.saved = archive, copy.deepcopy(self.told)

    @precondition(lambda self: self.saved is not None)
    @rule()
    def restore(self) -> None:
        assert self.saved is not None
        archive, self.told = self.saved[0], copy.deepcopy(self.saved[1])
        self.registry.close()
        self.move_to_new_place()
        restore(archive, self.home, self.addresses)
        self.registry = open_registry(self.home, self.addresses)

    @rule()
    def reopen(self) -> None:
        self.registry.close()
        self.registry = open_registry(self.home, self.addresses)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "registry"):
            return
        RegistryMachine.steps += 1
        there = {model: self.told.numbers(model) for model in self.told.seeds}
        newest = {model: numbers[-1] for model, numbers in there.items() if numbers}
        assert self.registry.models() == newest
        for model, numbers in there.items():
            assert [version.number for version in self.registry.versions(model)] == numbers
        for model, lives in self.told.lives.items():
            state = self.registry.endpoint(model)
            assert state is not None
            assert (state.live, state.sequence) == (lives[-1], len(lives))
            assert [change.live for change in self.registry.history(model)] == lives
        for (model, number), verdicts in self.told.verdicts.items():
            assert [each.verdict for each in self.registry.evidence(model, number)] == verdicts

    def move(self, name: str, expected: int, live: int, action: str, of: str = "") -> None:
        self.registry.move_endpoint(
            name,
            model=of or name,
            expected=expected,
            live=live,
            action=action,
            by="anna",
            reason="",
            evidence=None,
            now=NOW,
        )


def run(where: Where, steps: int, **options: Any) -> int:
    """Let a machine take about *steps* steps; how many it took."""
    RegistryMachine.where = staticmethod(where)
    RegistryMachine.steps = 0
    run_state_machine_as_test(
        RegistryMachine,
        settings=settings(
            max_examples=steps * 5 // (IN_ONE * 4) + 1,
            stateful_step_count=IN_ONE,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )
    return RegistryMachine.steps


def test_any_order_in_sqlite() -> None:
    """Whatever is done to a store in a folder, it tells what a few lists in memory tell."""
    taken = run(lambda: "", STEPS)
    print(f"\n{taken} steps in SQLite")  # noqa: T201
    assert taken >= STEPS * 0.9


@pytest.mark.needs("postgres")
def test_any_order_in_postgresql(request: pytest.FixtureRequest) -> None:
    """The same is so where the records are in PostgreSQL."""
    taken = run(request.getfixturevalue("postgres").fresh, STEPS)
    print(f"\n{taken} steps in PostgreSQL")  # noqa: T201
    assert taken >= STEPS * 0.9


def test_a_forgotten_comparison_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: a registry that moves an endpoint whatever it stands at is found out."""
    real = Registry.move_endpoint

    def wrong(registry: Registry, name: str, **options: object) -> object:
        state = registry.endpoint(name)
        options["expected"] = state.sequence if state else 0
        return real(registry, name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "move_endpoint", wrong)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run(lambda: "", 2_000, derandomize=True, phases=[Phase.generate])
