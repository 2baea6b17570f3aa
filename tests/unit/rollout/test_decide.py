"""What follows from verdicts."""

from __future__ import annotations

import pytest

from shipway.domain.objectives import Objective
from shipway.errors import GateRefused, UsageError
from shipway.evidence.judge import judge
from shipway.evidence.verdict import Judgement, Measurement, Verdict
from shipway.rollout.decide import check_promotion, retrain_wanted


def judged(metric: str, low: float, high: float) -> Judgement:
    found = Measurement(
        metric=metric, value=(low + high) / 2, low=low, high=high, n=100, method="Wilson"
    )
    return judge(Objective(metric=metric, at_least=0.7), "at_least", 0.7, found)


GOOD, BAD, OPEN = (
    judged("accuracy", 0.8, 0.9),
    judged("roc_auc", 0.5, 0.6),
    judged("f1", 0.65, 0.8),
)


def test_pass_promotes() -> None:
    """A passed gate is all that a promotion needs."""
    check_promotion("m@1", Verdict.PASS)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.UNDECIDED, None])
def test_everything_else_is_refused(verdict: Verdict | None) -> None:
    """Fail, undecided and never gated are refused; a force with a reason is not."""
    with pytest.raises(GateRefused, match="m@1"):
        check_promotion("m@1", verdict)
    check_promotion("m@1", verdict, force=True, reason="the old one is broken")


@pytest.mark.parametrize("reason", ["", "  "])
def test_force_needs_a_reason(reason: str) -> None:
    """A force without a reason is refused."""
    with pytest.raises(UsageError, match="reason"):
        check_promotion("m@1", Verdict.FAIL, force=True, reason=reason)


def test_refusal_lists_what_is_in_the_way() -> None:
    """A refusal names every judgement that did not pass, and how many rows would decide."""
    with pytest.raises(GateRefused) as caught:
        check_promotion("m@1", Verdict.UNDECIDED, judgements=(GOOD, OPEN))
    assert [problem.code for problem in caught.value.problems] == ["gate.undecided"]
    assert "more rows (about" in caught.value.next_step


def test_failing_metrics_want_retraining() -> None:
    """Only failing metrics that are listed start a retraining, in the order listed."""
    found = (GOOD, BAD, OPEN, BAD)
    assert retrain_wanted(found, ("f1", "roc_auc", "accuracy")) == ("roc_auc",)
    assert retrain_wanted(found, ()) == ()
