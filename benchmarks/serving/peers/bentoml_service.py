"""The BentoML service: the numeric model batches adaptively, columns of strings cannot be."""

from __future__ import annotations

import os
from typing import Any

import bentoml
import numpy as np
from numpy.typing import NDArray
from scoring import Scorer


@bentoml.service(workers=1, traffic={"timeout": 30}, metrics={"enabled": False})
class Inference:
    """The worker."""

    def __init__(self) -> None:
        self._scorer = Scorer(os.environ["PEER_MODEL"])

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def numeric(self, instances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of rows of numbers."""
        return self._scorer.rows(instances)

    @bentoml.api
    def flights(self, columns: dict[str, list[Any]]) -> list[float]:
        """Scores of columns by name."""
        scores: list[float] = self._scorer.columns(columns).tolist()
        return scores
