"""Any order of publishing, moving, rolling back and reopening, against a model of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.stores import NOW, Store

from shipway.errors import ConflictError, NotFoundError, UsageError

MODELS = st.sampled_from(["fraud", "flight-delay"])


class RegistryMachine(RuleBasedStateMachine):
    """Lists in memory beside a store on disk."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder / "store")
        self.published: dict[str, list[str]] = {}
        self.lives: dict[str, list[int]] = {}
        self.trails: dict[str, list[int]] = {}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.registry.close()
            shutil.rmtree(self.folder)

    @rule(model=MODELS, seed=st.sampled_from("abcd"))
    def publish(self, model: str, seed: str) -> None:
        seeds = self.published.setdefault(model, [])
        version = self.store.publish(seed, model=model)
        if seed not in seeds:
            seeds.append(seed)
        assert version.number == seeds.index(seed) + 1

    @rule(model=MODELS, live=st.integers(1, 4), stale=st.integers(-1, 1))
    def promote(self, model: str, live: int, stale: int) -> None:
        lives = self.lives.get(model, [])
        try:
            self._move(model, len(lives) + stale, live, "promote")
        except NotFoundError:
            assert live > len(self.published.get(model, []))
        except ConflictError:
            assert stale != 0
        else:
            assert stale == 0
            if lives[-1:] != [live]:
                self.lives.setdefault(model, []).append(live)
                self.trails.setdefault(model, []).append(live)

    @rule(model=MODELS)
    def roll_back(self, model: str) -> None:
        trail = self.trails.get(model, [])
        try:
            target = self.store.registry.rollback_target(model)
        except NotFoundError:
            assert len(trail) < 2
            return
        assert target == trail[-2]
        self._move(model, len(self.lives[model]), target, "rollback")
        trail.pop()
        self.lives[model].append(target)

    @precondition(lambda self: self.lives.get("fraud") and self.published.get("flight-delay"))
    @rule()
    def confuse_models(self) -> None:
        with pytest.raises(UsageError):
            self.store.registry.move_endpoint(
                "fraud",
                model="flight-delay",
                expected=len(self.lives["fraud"]),
                live=1,
                action="promote",
                by="anna",
                reason="",
                evidence=None,
                now=NOW,
            )

    @rule()
    def reopen(self) -> None:
        self.store.reopen()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        registry = self.store.registry
        for model, seeds in self.published.items():
            numbers = [version.number for version in registry.versions(model)]
            assert numbers == list(range(1, len(seeds) + 1))
        for model, lives in self.lives.items():
            state = registry.endpoint(model)
            assert state is not None
            assert (state.live, state.sequence) == (lives[-1], len(lives))
            assert [change.live for change in registry.history(model)] == lives
        assert registry.revision() == sum(len(lives) for lives in self.lives.values())

    def _move(self, model: str, expected: int, live: int, action: str) -> None:
        self.store.registry.move_endpoint(
            model,
            model=model,
            expected=expected,
            live=live,
            action=action,
            by="anna",
            reason="",
            evidence=None,
            now=NOW,
        )


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
