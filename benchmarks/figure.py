"""What a benchmark gives, and how a call is timed on a machine that does other things as well."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]
_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; ``note`` says what it was measured on."""

    name: str
    value: float
    unit: str
    better: Better = "lower"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Times calls: for about ``budget_s`` seconds each."""

    budget_s: float

    def seconds(self, call: Callable[[], object]) -> float:
        """The least mean of several series of *call*: what it takes when nothing is in its way."""
        once = _series(call, 1)
        count = max(1, int(self.budget_s / _REPEATS / max(once, 1e-9)))
        repeats = max(1, min(_REPEATS, int(self.budget_s / max(once, 1e-9))))
        return min(once, *(_series(call, count) for _ in range(repeats)))


def _series(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count
