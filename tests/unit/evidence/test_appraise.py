"""All objectives at once, within slices too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from shipway.domain.metrics import Task
from shipway.domain.objectives import Costs, Objective, Objectives, Reference
from shipway.errors import DataError
from shipway.evidence.appraise import judge_all, not_judged
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.traffic import measure_traffic
from shipway.evidence.verdict import Verdict

World = Callable[..., tuple[Outcomes, Outcomes]]


def objectives(*each: Objective) -> Objectives:
    return Objectives(
        task=Task.BINARY, objectives=each, costs=Costs(false_positive=1, false_negative=3)
    )


def sliced(share_right: dict[str, float], rows: int, random: np.random.Generator) -> Outcomes:
    """A model that is right so often in each slice."""
    names = np.repeat(list(share_right), rows)
    right = random.random(len(names)) < np.repeat(list(share_right.values()), rows)
    truth = random.integers(0, 2, len(names))
    return Outcomes(
        task=Task.BINARY,
        truth=truth,
        decided=np.where(right, truth, 1 - truth),
        classes=(0, 1),
        slices={"carrier": names},
    )


def test_order_follows_objectives(days: World) -> None:
    """Judgements come objective by objective, bound by bound, the whole before its slices."""
    ours, theirs = days(np.random.default_rng(0), 20)
    origin = np.where(np.arange(ours.n) % 2 == 0, "JFK", "EWR")
    ours, theirs = (replace(one, slices={"origin": origin}) for one in (ours, theirs))
    wanted = objectives(
        Objective(metric="roc_auc", at_least=0.6, better_than=Reference.LIVE, slices=("origin",)),
        Objective(metric="cost_per_1000", at_most=1),
    )
    found = judge_all(ours, wanted, live=theirs)
    assert [(one.objective.metric, one.bound, one.measurement.of) for one in found] == [
        ("roc_auc", "at_least", ""),
        ("roc_auc", "at_least", "origin=EWR"),
        ("roc_auc", "at_least", "origin=JFK"),
        ("roc_auc", "better_than", ""),
        ("roc_auc", "better_than", "origin=EWR"),
        ("roc_auc", "better_than", "origin=JFK"),
        ("cost_per_1000", "at_most", ""),
    ]
    assert found[0].verdict is Verdict.PASS
    assert found[3].verdict is Verdict.PASS
    assert found[6].verdict is Verdict.FAIL


def test_slices_are_widened_and_raw_is_kept() -> None:
    """A slice's interval is wider than its raw one, which stands beside it."""
    random = np.random.default_rng(1)
    shares = {f"C{index}": 0.8 for index in range(8)}
    wanted = objectives(Objective(metric="accuracy", at_least=0.79, slices=("carrier",)))
    found = judge_all(sliced(shares, 300, random), wanted)[1:]
    assert len(found) == 8
    for one in found:
        assert one.raw is not None
        assert one.raw.confidence == 0.95
        if one.verdict is Verdict.UNDECIDED:
            assert (
                one.measurement.confidence > 0.95
                or sum(other.verdict is Verdict.UNDECIDED for other in found) == 1
            )
            assert one.measurement.low is not None and one.raw.low is not None  # noqa: PT018
            assert one.measurement.low <= one.raw.low


def test_bad_slice_fails_within_good_whole() -> None:
    """A carrier that is served badly fails although the whole passes."""
    shares = {"good": 0.95, "fine": 0.93, "bad": 0.6}
    made = sliced(shares, 500, np.random.default_rng(2))
    wanted = objectives(Objective(metric="accuracy", at_least=0.75, slices=("carrier",)))
    verdicts = {one.measurement.of: one.verdict for one in judge_all(made, wanted)}
    assert verdicts == {
        "": Verdict.PASS,
        "carrier=good": Verdict.PASS,
        "carrier=fine": Verdict.PASS,
        "carrier=bad": Verdict.FAIL,
    }


def test_small_slice_is_undecided() -> None:
    """A slice of a few rows is undecided for want of data and takes nothing from the others."""
    random = np.random.default_rng(3)
    made = sliced({"big": 0.9, "other": 0.9}, 400, random)
    names = np.where(np.arange(made.n) < 8, "tiny", made.slices["carrier"])
    wanted = objectives(Objective(metric="accuracy", at_least=0.8, slices=("carrier",)))
    found = {
        one.measurement.of: one
        for one in judge_all(replace(made, slices={"carrier": names}), wanted)
    }
    assert found["carrier=tiny"].verdict is Verdict.UNDECIDED
    assert "8 rows, 30 needed" in found["carrier=tiny"].reason
    assert found["carrier=big"].verdict is Verdict.PASS


def test_twenty_slices_raise_no_more_false_alarms() -> None:
    """When all of twenty slices lie on the bar, any wrong verdict comes in at most 7 % of runs."""
    random = np.random.default_rng(4)
    shares = {f"C{index}": 0.8 for index in range(20)}
    wanted = objectives(Objective(metric="accuracy", at_least=0.8, slices=("carrier",)))
    alarms = plain = 0
    runs = 100
    for _ in range(runs):
        found = judge_all(sliced(shares, 250, random), wanted)[1:]
        alarms += any(one.verdict is not Verdict.UNDECIDED for one in found)
        plain += any(
            one.raw is not None
            and one.raw.low is not None
            and one.raw.high is not None
            and not one.raw.low <= 0.8 <= one.raw.high
            for one in found
        )
    assert alarms / runs <= 0.07
    assert plain / runs > 0.4


def test_missing_slice_column_is_named() -> None:
    """A slicing column that is not given is an error that names it."""
    made = sliced({"a": 0.9}, 100, np.random.default_rng(5))
    wanted = objectives(Objective(metric="accuracy", at_least=0.5, slices=("origin",)))
    with pytest.raises(DataError, match=r"'origin'.*carrier"):
        judge_all(made, wanted)


def test_what_cannot_be_judged_is_said() -> None:
    """Comparisons without a reference and traffic without requests are left out, in words."""
    wanted = objectives(
        Objective(metric="accuracy", at_least=0.5, better_than=Reference.LIVE),
        Objective(metric="accuracy", better_than=Reference.BASELINE),
        Objective(metric="latency_p99_ms", at_most=20),
    )
    made = sliced({"a": 0.9}, 100, np.random.default_rng(6))
    assert [one.bound for one in judge_all(made, wanted)] == ["at_least"]
    notes = not_judged(wanted)
    assert "nothing is live yet" in notes[0]
    assert "no baseline" in notes[1]
    assert "traffic" in notes[2]
    assert not_judged(objectives(), live=True) == ()


def test_traffic_is_judged_by_its_measurement() -> None:
    """Given latencies, their objective is judged like any other."""
    wanted = objectives(Objective(metric="latency_p99_ms", at_most=20))
    made = sliced({"a": 0.9}, 100, np.random.default_rng(7))
    traffic = {"latency_p99_ms": measure_traffic("latency_p99_ms", latencies_ms=[5.0] * 500)}
    (found,) = judge_all(made, wanted, traffic=traffic)
    assert found.verdict is Verdict.PASS
    assert not_judged(wanted, traffic=traffic) == ()
