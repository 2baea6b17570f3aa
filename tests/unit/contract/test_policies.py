"""What happens to what breaks a rule: refused, set aside, imputed, clipped, or told."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import polars as pl
import pytest

from shipway.contract import odcs
from shipway.contract.compiled import CompiledContract
from shipway.contract.infer import infer
from shipway.contract.schema import Column, Contract, Policy
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import ContractError

_COLUMNS = (
    Column(
        name="wind", kind=Kind.NUMBER, minimum=0.0, maximum=40.0, out_of_range=Policy.CLIP,
        missing=Policy.IMPUTE, fill=9.5,
    ),
    Column(
        name="seats", kind=Kind.INTEGER, minimum=0.5, maximum=400.5, out_of_range=Policy.CLIP,
        nullable=True,
    ),
    Column(
        name="carrier", kind=Kind.STRING, categories=("UA", "AA"), unseen=Policy.IMPUTE, fill="UA"
    ),
    Column(name="tail", kind=Kind.STRING, pattern="N[0-9]{1,5}", mismatched=Policy.QUARANTINE),
    Column(name="hour", kind=Kind.INTEGER, minimum=0.0, maximum=23.0, out_of_range=Policy.REJECT),
)  # fmt: skip
_CONTRACT = Contract(model="m", task=Task.BINARY, columns=_COLUMNS)
_ROWS: dict[str, list[Any]] = {
    "wind": [1.5, None, -3.0, 99.0, 7.0],
    "seats": [100, None, -7, 1000, 50],
    "carrier": ["AA", "XX", "UA", "", "AA"],
    "tail": ["N1", "N12345", "N7", "N77", "N777"],
    "hour": [0, 23, 5, 6, 7],
}
_WARNINGS = {"contract.null": 1, "contract.out-of-range": 4, "contract.unseen-category": 2}


@pytest.mark.parametrize("copies", [1, 200])
def test_values_are_imputed_and_clipped_alike(copies: int) -> None:
    """The model sees the training value or the bound, few rows or many, and each is counted."""
    compiled = CompiledContract(_CONTRACT)
    rows = {name: values * copies for name, values in _ROWS.items()}
    checked = compiled.check_request(rows)
    assert checked.ok
    assert checked.warnings == {code: count * copies for code, count in _WARNINGS.items()}
    assert checked.columns["wind"].tolist() == [1.5, 9.5, 0.0, 40.0, 7.0] * copies
    assert checked.columns["carrier"].tolist() == ["AA", "UA", "UA", "UA", "AA"] * copies
    seats = checked.columns["seats"][:5].tolist()
    assert [seats[0], *seats[2:]] == [100.0, 1.0, 400.0, 50.0]
    assert math.isnan(seats[1])
    frame = pl.DataFrame(rows)
    report = compiled.check_frame(frame)
    assert report.ok
    assert report.warnings == checked.warnings
    for name, values in compiled.encode(frame).items():
        np.testing.assert_array_equal(values, checked.columns[name])


def test_quarantine_is_refused_and_expected() -> None:
    """A row that only such a rule refuses is told apart from one that was to be in order."""
    rows = _ROWS | {"tail": ["N1", "X", "N7", "N77", "7"], "hour": [0, 23, 5, 24, 24]}
    compiled = CompiledContract(_CONTRACT)
    report = compiled.check_frame(pl.DataFrame(rows))
    assert report.refused.tolist() == [False, True, False, True, True]
    assert report.expected.tolist() == [False, True, False, False, False]
    checked = compiled.check_request(rows)
    assert [(v.row, v.column, v.code) for v in checked.violations] == [
        (1, "tail", "contract.pattern"),
        (4, "tail", "contract.pattern"),
        (3, "hour", "contract.out-of-range"),
        (4, "hour", "contract.out-of-range"),
    ]
    assert checked.violations[0].message == "'X' does not look like N[0-9]{1,5}"


def test_policies_survive_the_file() -> None:
    """Every policy, the pattern and what is imputed are read as they were written."""
    assert odcs.load(odcs.dump(_CONTRACT)) == _CONTRACT


def _said(text: str) -> list[str]:
    with pytest.raises(ContractError) as caught:
        odcs.load(text)
    return [problem.message for problem in caught.value.problems]


def test_what_cannot_be_kept_is_told() -> None:
    """Nothing to impute, a value that breaks the promise itself, a policy that makes no sense."""
    text = odcs.dump(_CONTRACT)
    broken = re.sub(r" *- property: trainingValue\n *value: UA\n", "", text)
    broken = broken.replace("value: 9.5", "value: 77").replace("value: quarantine", "value: clip")
    broken = broken.replace("maximum: 400.5", "maximum: 0.75")
    assert len(broken) < len(text)
    assert _said(broken) == [
        "'trainingValue' of column wind: 77 is outside of 0…40",
        "no whole number lies in the range of column seats",
        "column carrier has no 'trainingValue' that could be imputed",
        "'patternMismatch' of the custom properties of column tail cannot be 'clip'",
    ]
    assert (
        "is no pattern that every reader understands alike"
        in _said(text.replace("pattern: N[0-9]{1,5}", "pattern: (a+)+$"))[0]
    )


def test_infer_keeps_what_training_saw_most() -> None:
    """The middle of the numbers and the most frequent category; nothing of times."""
    frame = pl.DataFrame(
        {
            "x": [1.0, 2.0, None, 40.0, 3.5],
            "n": [1, 5, 2, 9, 9],
            "name": ["b", "a", "b", "a", "b"],
            "flag": [True, True, False, None, True],
            "y": [0, 1, 0, 1, 0],
        }
    )
    contract = infer(frame, model="m", task=Task.BINARY, target="y")
    fills = {column.name: column.fill for column in contract.columns}
    assert fills == {"x": 2.0, "n": 5, "name": "b", "flag": True, "y": None}
    assert odcs.load(odcs.dump(contract)) == contract


def test_infer_reads_the_pattern_of_ids() -> None:
    """From twenty different texts on; none where they look too different."""
    frame = pl.DataFrame(
        {
            "id": [f"N{100 + 7 * i}-{'AB'[i % 2]}" for i in range(200)],
            "note": [f"{'x' * (i % 5)} {i}" if i % 2 else f"{i}!" for i in range(200)],
            "x": list(range(200)),
            "y": [0, 1] * 100,
        }
    )
    contract = infer(frame, model="m", task=Task.BINARY, target="y", id="id")
    patterns = {column.name: column.pattern for column in contract.columns}
    assert [column.name for column in contract.columns if column.unique] == ["id"]
    assert patterns == {"id": "N[0-9]{3,4}-[A-B]", "note": "", "x": "", "y": ""}
    assert CompiledContract(contract).check_frame(frame).warnings == {}
