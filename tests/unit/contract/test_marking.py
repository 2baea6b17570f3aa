"""Columns marked as personal, in the file and by the command that infers it."""

from __future__ import annotations

import pytest

from shipway.contract import odcs
from shipway.contract.marking import marked, read_marks
from shipway.contract.schema import (
    CategoricalBins,
    Column,
    Contract,
    NumericBins,
    Personal,
    Role,
)
from shipway.contract.violations import UNSEEN, value_violation
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import ContractError, UsageError

CITY = Column(
    name="city",
    kind=Kind.STRING,
    categories=("Lima", "Secretville"),
    bins=CategoricalBins(categories=("Lima", "Secretville"), counts=(1, 1), other=0, missing=0),
    example="Secretville",
)
FEE = Column(
    name="fee",
    kind=Kind.NUMBER,
    minimum=0.0,
    maximum=9.0,
    bins=NumericBins(edges=(3.0,), counts=(1, 1), missing=0),
    example=4.25,
)
LEFT = Column(name="left", kind=Kind.INTEGER, role=Role.TARGET, categories=("0", "1"))
CONTRACT = Contract(model="m", task=Task.BINARY, columns=(CITY, FEE, LEFT), rows=2)


def test_nothing_of_a_marked_column_is_in_the_file() -> None:
    """No example and no category; its range stays, and the file is read back as it was."""
    found = marked(CONTRACT, {"city": Personal.HASH, "fee": Personal.ENCRYPT})
    text = odcs.dump(found)
    assert "Secretville" not in text
    assert "4.25" not in text
    assert odcs.load(text) == found
    assert [column.personal for column in found.columns] == ["hash", "encrypt", None]
    assert found.columns[1].maximum == 9.0


def test_a_file_with_values_of_a_personal_column_is_refused() -> None:
    """All three places are told at once, with how to mend them."""
    text = odcs.dump(CONTRACT).replace(
        "    - property: role\n      value: feature\n",
        "    - property: role\n      value: feature\n    - property: personal\n      value: drop\n",
    )
    assert "personal" in text
    with pytest.raises(ContractError) as caught:
        odcs.load(text)
    told = [problem.message for problem in caught.value.problems]
    assert len([one for one in told if "column city is personal" in one]) == 3
    assert len([one for one in told if "column fee is personal" in one]) == 1
    assert "contract infer --personal" in caught.value.problems[0].hint


@pytest.mark.parametrize("wrong", ["left", "nowhere"])
def test_what_cannot_be_personal(wrong: str) -> None:
    """The target, and a column that there is not."""
    with pytest.raises(UsageError) as caught:
        marked(CONTRACT, {wrong: Personal.DROP, "city": Personal.DROP})
    assert [wrong in problem.message for problem in caught.value.problems] == [True]


def test_every_wrong_mark_is_told() -> None:
    """Marks that are none are named, all of them."""
    assert read_marks(["a=b=hash"]) == {"a=b": Personal.HASH}
    with pytest.raises(UsageError) as caught:
        read_marks(["city", "city=hide", "=drop", "city=drop"])
    assert len(caught.value.problems) == 3


def test_a_violation_does_not_show_the_value() -> None:
    """Neither its message nor its value; that a value is missing is no secret."""
    (city, *_) = marked(CONTRACT, {"city": Personal.DROP}).columns
    found = value_violation(city, UNSEEN, 0, "Atlantis")
    assert "Atlantis" not in f"{found}"
    assert found.value == "<personal>"
    assert "Atlantis" in f"{value_violation(CITY, UNSEEN, 0, 'Atlantis')}"
