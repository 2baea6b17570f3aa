"""The gate's verdict on whole candidates."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from shipway.domain.metrics import Task
from shipway.domain.objectives import (
    BaselineKind,
    Costs,
    Objective,
    Objectives,
    Reference,
    TrainingTarget,
)
from shipway.evidence.baseline import baseline
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.verdict import Verdict
from shipway.rollout.gate import GateResult, gate

OBJECTIVES = Objectives(
    task=Task.BINARY,
    objectives=(
        Objective(metric="roc_auc", at_least=0.65, better_than=Reference.LIVE, margin=0.02),
        Objective(metric="cost_per_1000", better_than=Reference.BASELINE),
        Objective(metric="latency_p99_ms", at_most=20),
    ),
    costs=Costs(false_positive=1, false_negative=3),
    baseline=BaselineKind.BEST_CONSTANT,
)


def candidate(days: int, *, skill: float = 1.0, seed: int = 0) -> Outcomes:
    """Days of 200 rows; skill 0 is a model trained on shuffled labels."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), 200)
    feature = random.normal(size=len(day))
    hidden = random.normal(0, 0.3, days)[day]
    truth = (random.random(len(day)) < 1 / (1 + np.exp(1 - feature - hidden))).astype(np.int64)
    seen = skill * feature + (1 - skill) * random.permutation(feature)
    scores = 1 / (1 + np.exp(1 - seen))
    return Outcomes(
        task=Task.BINARY,
        truth=truth,
        scores=scores,
        decided=(scores >= 0.25).astype(np.int64),
        classes=(0, 1),
        costs=OBJECTIVES.costs,
        blocks=day,
    )


def gated(made: Outcomes, live: Outcomes | None = None) -> GateResult:
    rule = baseline(BaselineKind.BEST_CONSTANT, made, TrainingTarget(shares=(0.7, 0.3)))
    return gate(made, OBJECTIVES, live=live, baseline=rule)


def test_good_candidate_passes() -> None:
    """A model with skill on 17 days passes every objective that can be judged."""
    found = gated(candidate(17), candidate(17, skill=0.5))
    assert found.verdict is Verdict.PASS
    assert len(found.judgements) == 3
    assert (found.rows, found.blocks) == (3400, 17)
    assert found.notes == ("latency_p99_ms: is measured on traffic, there is none here",)


def test_shuffled_labels_are_refused() -> None:
    """A model trained on shuffled labels fails, and the judgements in the way are told."""
    found = gated(candidate(17, skill=0.0), candidate(17))
    assert found.verdict is Verdict.FAIL
    failed = found.having(Verdict.FAIL)
    assert {(one.objective.metric, one.bound) for one in failed} >= {
        ("roc_auc", "at_least"),
        ("roc_auc", "better_than"),
        ("cost_per_1000", "better_than"),
    }
    assert all("misses" in one.reason for one in failed)


@pytest.mark.parametrize("rows", [25, 500])
def test_small_test_set_is_undecided(rows: int) -> None:
    """Too few rows or days leave the verdict undecided, never a pass."""
    made = candidate(17)
    assert gated(made.where(np.arange(made.n) < rows)).verdict is Verdict.UNDECIDED


def test_first_version_needs_no_live_one() -> None:
    """When nothing is live the comparison is noted, not judged."""
    found = gated(candidate(17))
    assert found.verdict is Verdict.PASS
    assert any("nothing is live yet" in note for note in found.notes)


def test_nothing_judged_is_undecided() -> None:
    """With nothing to judge a candidate by, nothing speaks for it."""
    only = msgspec.structs.replace(OBJECTIVES, objectives=OBJECTIVES.objectives[2:])
    found = gate(candidate(5), only)
    assert found.verdict is Verdict.UNDECIDED
    assert any("nothing speaks" in note for note in found.notes)


def test_result_survives_json_and_repeats() -> None:
    """The same candidate gets the same result again, and it can be kept as JSON."""
    found = gated(candidate(40), candidate(40, skill=0.8))
    assert found == gated(candidate(40), candidate(40, skill=0.8))
    assert msgspec.json.decode(msgspec.json.encode(found), type=GateResult) == found


def test_equal_candidate_is_seldom_failed() -> None:
    """A candidate as good as the live version fails against it in at most 6 % of runs."""
    only = Objectives(
        task=Task.BINARY,
        objectives=(Objective(metric="roc_auc", better_than=Reference.LIVE),),
    )
    failed = 0
    for seed in range(100):
        one, other = candidate(9, seed=seed), candidate(9, seed=seed)
        random = np.random.default_rng(seed + 1000)
        noisy = [
            np.clip(side.probabilities() + random.normal(0, 0.1, side.n), 0, 1)
            for side in (one, other)
        ]
        ours, theirs = (
            Outcomes(
                task=Task.BINARY,
                truth=one.truth,
                scores=scores,
                decided=one.decided,
                classes=(0, 1),
                blocks=one.blocks,
            )
            for scores in noisy
        )
        failed += gate(ours, only, live=theirs).verdict is Verdict.FAIL
    assert failed / 100 <= 0.06
