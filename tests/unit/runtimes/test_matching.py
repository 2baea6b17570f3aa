"""A model is held against its contract, all differences at once."""

from __future__ import annotations

import pytest

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind
from shipway.errors import ModelMismatch
from shipway.runtimes.matching import match_classes, match_columns, target_values
from shipway.runtimes.port import Facts


def _contract(*names: str, task: Task = Task.BINARY, target: Column | None = None) -> Contract:
    features = tuple(Column(name=name, kind=Kind.NUMBER, nullable=True) for name in names)
    known = target or Column(
        name="late", kind=Kind.INTEGER, role=Role.TARGET, categories=("1", "0")
    )
    return Contract(model="m", task=task, columns=(*features, known))


def _facts(*classes: Scalar, numbered: bool = False) -> Facts:
    return Facts("model", None, None, classes, numbered, {}, ())


def _target(kind: Kind, *categories: str) -> Column:
    return Column(name="late", kind=kind, role=Role.TARGET, categories=categories or None)


def test_inputs_come_in_the_order_of_the_model() -> None:
    """The model's order counts, with kinds and nullability from the contract."""
    inputs, notes = match_columns(["b", "a"], 2, _contract("a", "b"))
    assert inputs == (
        InputSpec("b", Kind.NUMBER, nullable=True),
        InputSpec("a", Kind.NUMBER, nullable=True),
    )
    assert notes == ()


def test_every_difference_is_reported_at_once() -> None:
    """Renamed, missing and extra columns are all in one error."""
    with pytest.raises(ModelMismatch, match="differ in 3 columns") as caught:
        match_columns(["wind_speed", "visib", "hour"], 3, _contract("windSpeed", "hour", "precip"))
    found = {problem.code: problem for problem in caught.value.problems}
    assert found["model.column-renamed"].hint == "did you mean 'windSpeed'?"
    assert "'visib'" in found["model.column-missing"].message
    assert "'precip'" in found["model.column-extra"].message
    assert len(caught.value.problems) == 3


def test_lightgbm_names_with_underscores_match_names_with_spaces() -> None:
    """LightGBM writes underscores for spaces; the contract's name is kept."""
    inputs, _ = match_columns(["wind_speed"], 1, _contract("wind speed"))
    assert inputs[0].name == "wind speed"


def test_a_model_without_names_takes_the_contracts_order_and_says_so() -> None:
    """With nothing but a count, the order of the contract is taken, and noted."""
    inputs, notes = match_columns(None, 2, _contract("a", "b"))
    assert [one.name for one in inputs] == ["a", "b"]
    assert "without column names" in notes[0]


def test_a_model_without_names_must_have_as_many_columns() -> None:
    """With nothing but a count, the count must be right."""
    with pytest.raises(ModelMismatch, match="3 columns without names, and the contract has 2"):
        match_columns(None, 3, _contract("a", "b"))


@pytest.mark.parametrize(
    ("classes", "target", "expected"),
    [
        ((0, 1), _target(Kind.INTEGER, "0", "1"), (0, 1)),
        ((1, 0), _target(Kind.INTEGER, "0", "1"), (1, 0)),
        ((False, True), _target(Kind.BOOLEAN), (False, True)),
        ((0, 1), _target(Kind.BOOLEAN), (False, True)),
        ((False, True), _target(Kind.INTEGER, "0", "1"), (0, 1)),
        (("no", "yes"), _target(Kind.STRING, "yes", "no"), ("no", "yes")),
        ((0, 1), _target(Kind.INTEGER), (0, 1)),
    ],
)
def test_classes_become_the_targets_own_values(
    classes: tuple[Scalar, ...], target: Column, expected: tuple[Scalar, ...]
) -> None:
    """Labels are the target's values, in the order of the model's probabilities."""
    found, notes = match_classes(_facts(*classes), _contract("a", target=target))
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]
    assert notes == ()


def test_classes_that_differ_are_all_named() -> None:
    """A class that only one side knows is named, on both sides."""
    target = _target(Kind.STRING, "no", "yes")
    with pytest.raises(ModelMismatch, match="classes are not the values") as caught:
        match_classes(_facts("no", "maybe"), _contract("a", target=target))
    codes = {problem.code for problem in caught.value.problems}
    assert codes == {"model.class-unknown", "model.class-missing"}


def test_numbered_classes_are_read_in_sorted_order_and_noted() -> None:
    """A library that can only number classes gets the target's values in sorted order."""
    target = _target(Kind.STRING, "yes", "no")
    found, notes = match_classes(_facts(0, 1, numbered=True), _contract("a", target=target))
    assert found == ("no", "yes")
    assert "0 = no, 1 = yes" in notes[0]


def test_numbered_classes_must_be_as_many_as_the_targets() -> None:
    """Numbers without names cannot stand for another number of values."""
    contract = _contract("a", task=Task.MULTICLASS, target=_target(Kind.STRING, "x", "y", "z"))
    with pytest.raises(ModelMismatch, match="4 classes and the target 3"):
        match_classes(_facts(0, 1, 2, 3, numbered=True), contract)


@pytest.mark.parametrize(
    ("task", "classes", "message"),
    [
        (Task.REGRESSION, (0, 1), "classifier of 2 classes"),
        (Task.BINARY, (), "predicts a number"),
        (Task.BINARY, (0, 1, 2), "knows 3 classes, not 2"),
        (Task.BINARY, (0,), "knows 1 class, not 2"),
    ],
)
def test_a_model_for_another_task_is_refused(
    task: Task, classes: tuple[Scalar, ...], message: str
) -> None:
    """A classifier is no regressor, and the other way about."""
    with pytest.raises(ModelMismatch, match=message):
        match_classes(_facts(*classes), _contract("a", task=task))


def test_values_of_the_target_are_typed_and_sorted() -> None:
    """Categories stand in the contract as text; classes are the values themselves."""
    assert target_values(_contract(target=_target(Kind.INTEGER, "10", "9"))) == (9, 10)
    bounds = Column(name="y", kind=Kind.NUMBER, role=Role.TARGET, minimum=0.0, maximum=1.0)
    assert target_values(_contract(target=bounds)) == (0, 1)
