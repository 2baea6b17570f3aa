"""Many questions at once: Holm for verdicts, Benjamini's procedures for alarms.

Holm (1979) keeps the chance of *any* wrong verdict among a family at alpha. Benjamini and
Hochberg (1995) keep the expected *share* of wrong alarms at alpha when the tests are
independent or positively dependent, Benjamini and Yekutieli (2001) whatever the dependence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from shipway.evidence.outcomes import FloatArray

Answer = TypeVar("Answer")


def holm(
    questions: Sequence[Callable[[float], Answer]],
    decided: Callable[[Answer], bool],
    confidence: float,
) -> list[Answer]:
    """Ask every question at the confidence that Holm's step-down gives it.

    A question is asked with a confidence and answers from an interval. All open ones are asked
    at ``1 - alpha / (number open)``; those decided are settled, and the rest are asked again at
    the milder level, until a step settles none. This is Holm's procedure without p-values.
    """
    answers: dict[int, Answer] = {}
    while len(answers) < len(questions):
        remaining = [index for index in range(len(questions)) if index not in answers]
        level = 1 - (1 - confidence) / len(remaining)
        asked = {index: questions[index](level) for index in remaining}
        settled = {index: answer for index, answer in asked.items() if decided(answer)}
        answers |= settled or asked
    return [answers[index] for index in range(len(questions))]


def benjamini_hochberg(p_values: FloatArray) -> FloatArray:
    """Adjusted p-values (k,) in the order given: alarm where one is at most alpha."""
    return _step_up(p_values, 1.0)


def benjamini_yekutieli(p_values: FloatArray) -> FloatArray:
    """Adjusted p-values that hold under any dependence, larger by ``sum 1/i``."""
    return _step_up(p_values, float((1 / np.arange(1, len(p_values) + 1)).sum()))


def _step_up(p_values: FloatArray, factor: float) -> FloatArray:
    count = len(p_values)
    order = np.argsort(p_values)[::-1]
    scaled = p_values[order] * factor * count / np.arange(count, 0, -1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return adjusted
