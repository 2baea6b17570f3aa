"""One row, one answer: every REST protocol says what the model says in process, bit for bit."""

from __future__ import annotations

import random

import pytest
from tests.frames_rig import FRAME, NUMBERS, Asking, in_process, valid_rows
from tests.protocols_asked import MATRICES, NAMED, UNNAMED, Ask, sagemaker_csv, v1_lists
from tests.soak.scale import sized

from shipway.contract.schema import Contract

ROWS = sized(1_500, 50_000)
LARGEST = 120


def _hold(asking: Asking, contract: Contract, ask: Ask, *, further: bool) -> None:
    """Compare *ask* with the predictor in process, batch by batch."""
    dice = random.Random(f"{contract.model} {ask.__name__}")
    left = ROWS
    while left > 0:
        rows = min(left, dice.choice([1, 1, 2, dice.randint(3, LARGEST)]))
        left -= rows
        cells = valid_rows(contract, rows, dice, further=further and dice.random() < 0.3)
        expected = in_process(contract, cells)
        told = ask(asking, contract, cells)
        assert told.labels == expected.labels
        assert told.scores == expected.scores
    print(f"{contract.model}, {ask.__name__}: {ROWS} rows equal")  # noqa: T201


def name_of(ask: Ask) -> str:
    return ask.__name__


@pytest.mark.parametrize("ask", NAMED, ids=name_of)
@pytest.mark.parametrize("contract", [FRAME, NUMBERS], ids=lambda one: str(one.model))
def test_protocols_that_name_the_model(asking: Asking, contract: Contract, ask: Ask) -> None:
    """Frames with strings, categories, nulls and times, and plain numbers: answers are equal."""
    _hold(asking, contract, ask, further=ask is not v1_lists)


@pytest.mark.parametrize("ask", UNNAMED, ids=name_of)
def test_invocations(alone: Asking, ask: Ask) -> None:
    """MLflow's and SageMaker's forms of a frame get the model's own answers."""
    _hold(alone, FRAME, ask, further=ask is not sagemaker_csv)


@pytest.mark.parametrize("ask", MATRICES, ids=name_of)
def test_matrices(asking: Asking, ask: Ask) -> None:
    """Rows of numbers in one piece, as JSON, in binary and raw, get the model's own answers."""
    _hold(asking, NUMBERS, ask, further=False)
