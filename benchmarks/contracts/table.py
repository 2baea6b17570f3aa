"""The table that is checked: numbers in ranges, some of them missing, and categories."""

from __future__ import annotations

import numpy as np
import polars as pl

from shipway.contract.schema import Column, Contract
from shipway.domain.metrics import Task
from shipway.domain.model import Kind

NUMBERS, NAMES = 24, 6
LOW, HIGH = 0.0, 100.0
CATEGORIES = tuple(f"c{number:02d}" for number in range(20))


def rows(count: int) -> pl.DataFrame:
    """*count* rows that keep the contract; of every fourth number a tenth is missing."""
    draw = np.random.default_rng(7)
    columns: dict[str, pl.Series] = {}
    for number in range(NUMBERS):
        values = pl.Series(draw.uniform(LOW, HIGH, count))
        if number % 4 == 0:
            values = values.set(pl.Series(draw.random(count) < 0.1), None)
        columns[f"x{number}"] = values
    for number in range(NAMES):
        columns[f"n{number}"] = pl.Series(CATEGORIES).gather(
            draw.integers(0, len(CATEGORIES), count)
        )
    return pl.DataFrame(columns)


def contract() -> Contract:
    """What they promise."""
    numbers = [
        Column(name=f"x{n}", kind=Kind.NUMBER, nullable=n % 4 == 0, minimum=LOW, maximum=HIGH)
        for n in range(NUMBERS)
    ]
    names = [Column(name=f"n{n}", kind=Kind.STRING, categories=CATEGORIES) for n in range(NAMES)]
    return Contract(model="m", task=Task.REGRESSION, columns=(*numbers, *names))
