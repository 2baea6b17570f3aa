"""Small worlds whose true metrics are known, to hold intervals against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shipway.domain.metrics import Task
from shipway.domain.objectives import Costs
from shipway.evidence.outcomes import Outcomes

World = Callable[..., tuple[Outcomes, Outcomes]]


@pytest.fixture(scope="session")
def days() -> World:
    """A better and a worse model on the same rows of so many days, which differ in base rate.

    Rows of one day share an effect that neither model sees, so they are not independent.
    """

    def make(
        random: np.random.Generator, count: int, *, rows: int = 100, effect: float = 0.6
    ) -> tuple[Outcomes, Outcomes]:
        day = np.repeat(np.arange(count), random.poisson(rows, count))
        feature = random.normal(size=len(day))
        hidden = random.normal(0, effect, count)[day]
        chance = 1 / (1 + np.exp(1.3 - feature - hidden))
        truth = (random.random(len(day)) < chance).astype(np.int64)
        blurred = 0.6 * feature + 0.5 * random.normal(size=len(day))
        better, worse = (1 / (1 + np.exp(1.3 - signal)) for signal in (feature, blurred))

        def outcomes(scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Outcomes:
            return Outcomes(
                task=Task.BINARY,
                truth=truth,
                scores=scores,
                decided=(scores >= 0.25).astype(np.int64),
                classes=(0, 1),
                costs=Costs(false_positive=1, false_negative=3),
                blocks=day,
            )

        return outcomes(better), outcomes(worse)

    return make
