"""Answers made from prepared texts are those that the codec makes piece by piece."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_rig import served

from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.domain.names import prediction_ids
from shipway.inference.decision import DecisionRule
from shipway.inference.predictor import Answer
from shipway.serving.protocols.oip_codec import Codec, Wanted

SCORE = st.floats(0, 1)
ID = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)
CLASSES: dict[str, tuple[Any, ...]] = {
    "numbers": (0, 1),
    "texts": ("no", "ja, äh\n"),
    "truths": (False, True),
    "floats": (0.5, 1.5),
}


def codec(task: Task, classes: tuple[Any, ...]) -> Codec:
    spec = ModelSpec(
        format="fake",
        task=task,
        inputs=(InputSpec("distance", Kind.NUMBER),),
        classes=classes,
        main_file="m",
    )
    return Codec(
        msgspec.structs.replace(served(), spec=spec, model="100%-sure"), DecisionRule.of(spec)
    )


def answer(reader: Codec, name: str, scores: list[Any], labels: list[Any]) -> None:
    """Tell the same answer both ways, as JSON and in binary."""
    told = Answer(name, 1, scores, labels, prediction_ids(name, len(labels)), {})
    every = tuple(reader.datatypes)
    assert reader._whole.json(told) == reader.encode(Wanted(every), told)
    assert reader._whole.binary(told) == reader.encode(Wanted(every, frozenset(every)), told)


@pytest.mark.parametrize("kind", CLASSES)
@given(name=ID, rows=st.lists(st.tuples(SCORE, st.booleans()), min_size=1, max_size=300))
def test_of_two_classes(kind: str, name: str, rows: list[tuple[float, bool]]) -> None:
    """A score and a label of any type a row."""
    classes = CLASSES[kind]
    labels = [classes[second] for _, second in rows]
    answer(codec(Task.BINARY, classes), name, [score for score, _ in rows], labels)


@given(name=ID, rows=st.lists(st.tuples(SCORE, SCORE, SCORE), min_size=1, max_size=40))
def test_of_several_classes(name: str, rows: list[tuple[float, ...]]) -> None:
    """All probabilities of a row one after the other."""
    answer(codec(Task.MULTICLASS, ("a", "b", "c")), name, [*map(list, rows)], ["b"] * len(rows))


@given(name=ID, rows=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=40))
def test_of_a_regression(name: str, rows: list[float]) -> None:
    """The value is score and label at once."""
    answer(codec(Task.REGRESSION, ()), name, rows, rows)
