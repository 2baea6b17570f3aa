"""A model held against its contract: the same columns, the same classes, or all differences."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from shipway.contract.schema import Column, Contract
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind
from shipway.domain.text import text_of
from shipway.errors import ModelMismatch, Problem
from shipway.runtimes.port import Facts

_FIX_COLUMNS = (
    "make contract.yaml and the model agree: infer the contract from the table that the model was"
    " trained on, or give columns that it does not use the role 'ignored'"
)


def match_columns(
    names: Sequence[str] | None,
    width: int | None,
    contract: Contract,
    *,
    unused: Sequence[str] = (),
) -> tuple[tuple[InputSpec, ...], tuple[str, ...]]:
    """The model's inputs in its own order, and what had to be assumed.

    *unused* are columns that the model was shown and drops: the contract may have them or not.
    Raises one :class:`~shipway.errors.ModelMismatch` that lists every difference.
    """
    features = contract.features
    if names is None:
        return _by_position(width, features)
    by_name = {_plain(column.name): column for column in features}
    taken = {_plain(name) for name in names}
    unknown = [name for name in names if _plain(name) not in by_name]
    free = [column.name for column in features if _plain(column.name) not in taken]
    left = [name for name in free if name not in unused]
    problems = []
    for name in unknown:
        near = _nearest(name, left)
        hint = f"did you mean {near!r}?" if near else ""
        code = "model.column-renamed" if near else "model.column-missing"
        text = f"the model takes {name!r}, which is no feature of the contract"
        problems.append(Problem(code, text, hint=hint))
    renamed = {_nearest(name, left) for name in unknown}
    for name in left:
        if name not in renamed:
            text = f"the contract has the feature {name!r}, which the model does not take"
            problems.append(Problem("model.column-extra", text))
    if problems:
        raise ModelMismatch(
            f"the model and the contract differ in {len(problems)} columns"
            if len(problems) > 1
            else "the model and the contract differ in a column",
            next_step=_FIX_COLUMNS,
            problems=problems,
        )
    dropped = [name for name in free if name in unused]
    note = f"the model was shown {', '.join(dropped)} in training and does without"
    return tuple(_input(by_name[_plain(name)]) for name in names), (note,) if dropped else ()


def _by_position(
    width: int | None, features: tuple[Column, ...]
) -> tuple[tuple[InputSpec, ...], tuple[str, ...]]:
    if width is not None and width != len(features):
        raise ModelMismatch(
            f"the model takes {width} columns without names, and the contract has"
            f" {len(features)} features: {', '.join(column.name for column in features)}",
            next_step=_FIX_COLUMNS,
        )
    note = (
        "the model was trained without column names: it is given the features in the contract's"
        f" order ({', '.join(column.name for column in features)})"
    )
    return tuple(_input(column) for column in features), (note,)


def _plain(name: str) -> str:
    """LightGBM writes an underscore for every space in a column's name."""
    return re.sub(r"\s", "_", name)


def _nearest(name: str, left: list[str]) -> str:
    folded = {re.sub(r"[\W_]+", "", other).casefold(): other for other in left}
    key = re.sub(r"[\W_]+", "", name).casefold()
    near = difflib.get_close_matches(key, folded, n=1, cutoff=0.75)
    return folded[near[0]] if near else ""


def _input(column: Column) -> InputSpec:
    return InputSpec(name=column.name, kind=column.kind, nullable=column.nullable)


def match_classes(facts: Facts, contract: Contract) -> tuple[tuple[Scalar, ...], tuple[str, ...]]:
    """The target's own values in the order of the model's probabilities, and what was assumed.

    Raises :class:`~shipway.errors.ModelMismatch` if the model answers another question.
    """
    _check_task(facts, contract)
    if contract.task is Task.REGRESSION:
        return (), ()
    known = target_values(contract)
    if facts.numbered:
        return _numbered(facts, known)
    if not known:
        return facts.classes, ()
    by_text = {text_of(value): value for value in known}
    texts = [_as_target(text_of(value), by_text) for value in facts.classes]
    problems = [
        Problem("model.class-unknown", f"the model knows the class {text!r}, the target does not")
        for text in texts
        if text not in by_text
    ]
    problems += [
        Problem("model.class-missing", f"the target has the value {text!r}, the model does not")
        for text in by_text
        if text not in texts
    ]
    if problems:
        raise ModelMismatch(
            "the model's classes are not the values of the target",
            next_step="train on the target's own values, and infer the contract from that table",
            problems=problems,
        )
    return tuple(by_text[text] for text in texts), ()


def _check_task(facts: Facts, contract: Contract) -> None:
    count = len(facts.classes)
    wrong = ""
    if contract.task is Task.REGRESSION and count:
        wrong = f"the model is a classifier of {count} classes"
    elif contract.task is not Task.REGRESSION and not count:
        wrong = "the model predicts a number, not classes"
    elif contract.task is Task.BINARY and count != 2:
        wrong = f"the model knows {count} class{'es' if count != 1 else ''}, not 2"
    if wrong:
        raise ModelMismatch(
            f"{wrong}, and the task is {contract.task}",
            next_step="set model.task in shipway.toml and infer the contract again, or name"
            " another model",
        )


def _as_target(text: str, by_text: dict[str, Scalar]) -> str:
    """Libraries turn booleans into 0 and 1 and back; the text of the target decides."""
    other = {"0": "false", "1": "true", "false": "0", "true": "1"}.get(text, text)
    return other if text not in by_text and other in by_text else text


def _numbered(
    facts: Facts, known: tuple[Scalar, ...]
) -> tuple[tuple[Scalar, ...], tuple[str, ...]]:
    if not known:
        return facts.classes, ()
    if len(known) != len(facts.classes):
        raise ModelMismatch(
            f"the model has {len(facts.classes)} classes and the target {len(known)} values:"
            f" {', '.join(text_of(value) for value in known)}",
            next_step="train on every value of the target, and infer the contract from that table",
        )
    if all(value == index for index, value in enumerate(known)):
        return known, ()
    order = ", ".join(f"{index} = {text_of(value)}" for index, value in enumerate(known))
    return known, (f"the model numbers its classes; they are read as {order} (sorted order)",)


def target_values(contract: Contract) -> tuple[Scalar, ...]:
    """The values of the target in sorted order, as they stand in the data; empty if not known."""
    target = contract.target
    if target is None:
        return ()
    if target.kind is Kind.BOOLEAN:
        return (False, True)
    texts = target.categories or ()
    if target.kind is Kind.STRING:
        return tuple(sorted(texts))
    numbers = [float(text) for text in texts]
    if not numbers and contract.task is Task.BINARY:
        numbers = [one for one in (target.minimum, target.maximum) if one is not None]
    return tuple(sorted(int(one) if one.is_integer() else one for one in numbers))
