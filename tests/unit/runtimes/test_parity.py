"""What counts as the same answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import PredictionFailed
from shipway.runtimes.parity import Rule, compare, differing_probe, probes
from shipway.runtimes.port import Columns

SPEC = ModelSpec(
    format="test",
    task=Task.BINARY,
    inputs=(
        InputSpec("x", Kind.NUMBER, nullable=True),
        InputSpec("n", Kind.INTEGER),
        InputSpec("s", Kind.STRING, nullable=True),
    ),
    classes=(0, 1),
    main_file="m",
)
SAMPLE: Columns = {
    "x": np.array([1.0, 2.0, np.nan]),
    "n": np.array([1, 2, 3]),
    "s": np.array(["a", None, "b"], dtype=object),
}


def _binary(*positive: float) -> NDArray[np.float64]:
    return np.column_stack((1 - np.array(positive), positive))


class Scored:
    """A model that answers 0.5, but another *number* or an error where a column is odd."""

    def __init__(self, *, odd: str = "", answer: float | None = 0.9) -> None:
        self.spec = SPEC
        self._odd = odd
        self._answer = answer

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        scores = np.full(len(columns["n"]), 0.5)
        odd = {
            "missing x": bool(np.isnan(columns["x"].astype(float)).all()),
            "unseen s": "\u2603 never seen" in columns["s"].tolist(),
            "far n": bool((columns["n"].astype(float) > 3).any()),
        }
        if self._odd and odd[self._odd]:
            if self._answer is None:
                raise PredictionFailed("no", next_step="-")
            scores[:] = self._answer
        return _binary(*scores)

    def close(self) -> None: ...


def test_equal_answers_pass() -> None:
    """The same answers differ by nothing and flip nothing."""
    answers = _binary(0.1, 0.9)
    found = compare(answers, answers, Rule(Task.BINARY, 1, 0.5)).parity
    assert (found.largest_difference, found.flipped, found.rows, found.passed) == (0, 0, 2, True)


def test_flips_are_counted_at_the_threshold_and_named() -> None:
    """A flip is a decision at the threshold that differs, however small the difference."""
    original, packed = _binary(0.2, 1 / 6, 0.1), _binary(0.2, 1 / 6 - 1e-9, 0.1)
    found = compare(original, packed, Rule(Task.BINARY, 1, 1 / 6))
    assert found.flipped == (1,)
    assert found.parity.flipped == 1
    assert not found.parity.passed
    assert "(rows 1)" in found.describe()


def test_one_flip_in_a_thousand_rows_passes() -> None:
    """Up to 0.1 % of rows may flip, if they are as near to the threshold as the tolerance says."""
    original = np.tile(_binary(0.2), (1000, 1))
    original[7] = _binary(0.5)[0]
    packed = original.copy()
    packed[7] = _binary(0.5 - 1e-8)[0]
    rule = Rule(Task.BINARY, 1, 0.5)
    assert compare(original, packed, rule).parity.passed
    packed[8], original[8] = packed[7], original[7]
    assert not compare(original, packed, rule).parity.passed


def test_a_large_difference_fails_without_a_flip() -> None:
    """Probabilities must agree to 1e-4 even where no decision hangs on them."""
    found = compare(_binary(0.9), _binary(0.8998), Rule(Task.BINARY, 1, 0.5)).parity
    assert not found.passed
    assert found.flipped == 0


def test_the_positive_class_may_be_the_first() -> None:
    """Decisions are about the positive class, wherever its column is."""
    original, packed = _binary(0.6), _binary(0.55)
    assert compare(original, packed, Rule(Task.BINARY, 0, 0.42)).parity.flipped == 1
    assert compare(original, packed, Rule(Task.BINARY, 1, 0.42)).parity.flipped == 0


def test_values_are_measured_in_spreads() -> None:
    """In regression a difference counts in standard deviations of the original's answers."""
    original = np.array([0.0, 2_000_000.0])
    found = compare(original, original + 50.0, Rule(Task.REGRESSION)).parity
    assert found.largest_difference == 50.0 / 1_000_000.0
    assert found.passed
    assert compare(np.zeros(2), np.full(2, 0.1), Rule(Task.REGRESSION)).parity.passed is False


def test_multiclass_decisions_are_the_likeliest_class() -> None:
    """A multiclass flip is another class on top."""
    original, packed = np.array([[0.4, 0.3, 0.3]]), np.array([[0.3, 0.4, 0.3]])
    assert compare(original, packed, Rule(Task.MULTICLASS)).parity.flipped == 1


def test_probes_reach_for_missing_unseen_and_far_values() -> None:
    """Made-up rows cover what may be missing, what was never seen, and both ends of numbers."""
    asked = [probe.what for probe in probes(SPEC, SAMPLE)]
    assert asked == [
        "a missing 'x'",
        "a missing 's'",
        "all that may be missing",
        "a 'x' below any seen",
        "a 'x' above any seen",
        "a 'n' below any seen",
        "a 'n' above any seen",
        "a 's' never seen",
    ]
    assert all(probe.columns["n"].dtype.kind == "i" for probe in probes(SPEC, SAMPLE))


def test_a_probe_that_is_answered_otherwise_is_named() -> None:
    """The first made-up rows on which two models differ are named."""
    rule = Rule(Task.BINARY, 1, 0.5)
    assert differing_probe(Scored(), Scored(), rule, SAMPLE) == ""
    assert differing_probe(Scored(), Scored(odd="missing x"), rule, SAMPLE) == "a missing 'x'"
    assert "'s' never seen" in differing_probe(Scored(), Scored(odd="unseen s"), rule, SAMPLE)
    assert "'n' above" in differing_probe(Scored(), Scored(odd="far n"), rule, SAMPLE)


def test_a_packed_model_must_refuse_what_the_original_refuses() -> None:
    """An answer where the original has none is a difference; two refusals are none."""
    rule = Rule(Task.BINARY, 1, 0.5)
    strict = Scored(odd="unseen s", answer=None)
    assert differing_probe(strict, strict, rule, SAMPLE) == ""
    assert "the original refuses" in differing_probe(strict, Scored(), rule, SAMPLE)
    assert "the original answers" in differing_probe(Scored(), strict, rule, SAMPLE)
