"""The predictor: one call a batch, one event a request, nobody suffers for another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_rig import NONSENSE, POISON, FakeModel, MemorySink, columns, served

from shipway.domain.events import PredictionEvent
from shipway.errors import ContractViolated, PredictionFailed, StoreError
from shipway.inference.predictor import Answer, Pace, Predictor, Request


def request(name: str = "r", **changes: Any) -> Request:
    return Request(name, {**columns(), **changes}, "key-1", 1_000_000)


def predictor(
    model: FakeModel | None = None, sink: MemorySink | None = None, now_ns: int = 3_500_000
) -> Predictor:
    return Predictor(
        served(),
        model or FakeModel(),
        sink or MemorySink(),
        lambda: now_ns,
        status_of=lambda error: 422 if isinstance(error, ContractViolated) else 500,
    )


def test_answer() -> None:
    """An answer has score, label and prediction id for each row, and the version."""
    (answer,) = predictor().predict([Request("R", columns(2, 900.0), "k", 0)])
    assert answer == Answer("R", 1, [0.9, 0.9], [1, 1], ["R:0", "R:1"], {})


def test_one_call_for_all() -> None:
    """Requests that come together are one call of the model and one append of events."""
    model, sink = FakeModel(), MemorySink()
    answers = predictor(model, sink).predict(
        [Request(f"r{n}", columns(n + 1, 100.0 * n), "k", 0) for n in range(4)]
    )
    assert model.calls == [10]
    assert [len(one) for one in sink.appends] == [4]
    scores = [answer.scores for answer in answers if isinstance(answer, Answer)]
    assert scores == [[0.0], [0.1] * 2, [0.2] * 3, [pytest.approx(0.3)] * 4]


def test_poison_stays_alone() -> None:
    """A request that makes the model raise fails; those that came with it are answered."""
    good, bad, other = predictor().predict(
        [request("a"), request("b", distance=[POISON]), request("c")]
    )
    assert isinstance(good, Answer)
    assert isinstance(other, Answer)
    assert isinstance(bad, PredictionFailed)
    assert "ZeroDivisionError" in bad.message
    assert "poison" not in bad.message


def test_nan_stays_alone() -> None:
    """A row without a prediction fails its request, in the same single call of the model."""
    model = FakeModel()
    good, bad = predictor(model).predict([request(), request(distance=[NONSENSE])])
    assert isinstance(good, Answer)
    assert isinstance(bad, PredictionFailed)
    assert model.calls == [2]


def test_violation_never_reaches_the_model() -> None:
    """A request that breaks the contract gets every fault and costs no model time."""
    model = FakeModel()
    (error,) = predictor(model).predict([request(city=[3], hour=["x"])])
    assert isinstance(error, ContractViolated)
    assert {problem.where for problem in error.problems} == {
        "row 0, column city",
        "row 0, column hour",
    }
    assert model.calls == []


def test_events() -> None:
    """An event tells what came, what was answered, how long it took and who asked."""
    sink = MemorySink()
    predictor(sink=sink).predict([request("ok", departs=["2013-04-01T12:00:00Z"])])
    assert sink.events == [
        PredictionEvent(
            request_id="ok",
            received_at_ns=1_000_000,
            endpoint="late",
            model="late",
            version=1,
            caller="key-1",
            rows=1,
            latency_us=2500,
            columns={**columns(), "departs": ["2013-04-01T12:00:00Z"]},
            scores=[0.1],
            labels=[0],
        )
    ]


def test_refused_events() -> None:
    """A refused request leaves its code, status and rows, and none of its columns."""
    sink = MemorySink()
    predictor(sink=sink).predict(
        [
            Request("bad", {**columns(3), "hour": ["x"] * 3}, "k", 0),
            request("nan", distance=[NONSENSE]),
        ]
    )
    told = [(e.request_id, e.status, e.code, e.rows, e.columns, e.scores) for e in sink.events]
    assert told == [
        ("bad", 422, "contract.violated", 3, {}, []),
        ("nan", 500, "model.prediction-failed", 1, {}, []),
    ]


def test_warnings_are_counted() -> None:
    """A value outside of the range is answered and counted, in the answer and in the event."""
    sink = MemorySink()
    (answer,) = predictor(sink=sink).predict([request(distance=[5000.0], city=["LAX"])])
    assert isinstance(answer, Answer)
    assert answer.warnings == {"contract.out-of-range": 1, "contract.unseen-category": 1}
    assert sink.events[0].warnings == answer.warnings


def test_clock_set_back() -> None:
    """Time never runs backwards in an event, whatever the clock does."""
    sink = MemorySink()
    predictor(sink=sink, now_ns=0).predict([request()])
    assert sink.events[0].latency_us == 0


def test_no_answer_without_its_event() -> None:
    """If events cannot be kept no answer is given."""

    class Full:
        def append(self, events: Sequence[PredictionEvent]) -> None:
            raise StoreError("the disk is full", next_step="make room")

    with pytest.raises(StoreError):
        Predictor(served(), FakeModel(), Full(), lambda: 0).predict([request()])


def test_arrays_are_recorded_as_values() -> None:
    """Columns that came as arrays are remembered as plain values, missing ones as None."""
    sink = MemorySink()
    given: dict[str, Any] = {
        **columns(2),
        "distance": np.array([100.0, np.nan]),
        "hour": np.array([1, 2]),
    }
    predictor(sink=sink).predict([Request("r", given, "k", 0)])
    assert sink.events[0].columns["distance"] == [100.0, None]
    assert sink.events[0].columns["hour"] == [1, 2]
    assert msgspec.json.encode(sink.events[0])


def test_warm_up_is_silent() -> None:
    """Warming up calls the model with the example row and leaves no event."""
    model, sink = FakeModel(), MemorySink()
    predictor(model, sink).warm_up(2)
    assert model.calls == [1, 1, 32, 32, 256, 256]
    assert sink.appends == []


def test_warm_up_measures_the_pace() -> None:
    """The pace is unknown before the warm-up, and known and kept after it."""
    warmed = predictor()
    assert warmed.pace == Pace(0.0, 0.0)
    assert warmed.warm_up() == warmed.pace
    assert warmed.pace.one_row_s > 0
    assert warmed.pace.rows_per_s > 0


def test_warm_up_of_a_slow_model_is_short() -> None:
    """A model that takes long for one row is not asked about hundreds to learn how long."""

    class Slow(FakeModel):
        def predict(self, columns: Any) -> Any:
            time.sleep(0.02 * len(columns["distance"]))
            return super().predict(columns)

    model = Slow()
    predictor(model).warm_up(2)
    assert model.calls == [1, 1]


def test_warm_up_fails_for_a_bad_model() -> None:
    """A model that cannot answer the example row does not get through its warm-up."""

    class Broken(FakeModel):
        def predict(self, columns: Any) -> Any:
            return np.full((1, 2), np.nan)

    with pytest.raises(PredictionFailed):
        predictor(Broken()).warm_up()


def test_a_wrong_shape_is_everybodys_fault() -> None:
    """A model that answers too few rows fails every request rather than mixing them up."""

    class Short(FakeModel):
        def predict(self, columns: Any) -> Any:
            return super().predict(columns)[:-1]

    outcomes = predictor(Short()).predict([request("a"), request("b")])
    assert all(isinstance(outcome, PredictionFailed) for outcome in outcomes)


@given(
    st.lists(
        st.lists(
            st.one_of(st.none(), st.floats(0, 1000), st.sampled_from([POISON, NONSENSE])),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_together_as_alone(batch: list[list[float | None]]) -> None:
    """Whatever a request is batched with, its outcome is the one that it has alone."""
    requests = [
        Request(str(n), {**columns(len(distances)), "distance": distances}, "k", 0)
        for n, distances in enumerate(batch)
    ]
    together = predictor().predict(requests)
    alone = [predictor().predict([one])[0] for one in requests]
    assert [_told(one) for one in together] == [_told(one) for one in alone]


def _told(outcome: object) -> object:
    return outcome if isinstance(outcome, Answer) else str(outcome)


def test_pace_is_learned() -> None:
    """A fast call is believed at once, slow ones little by little, each for its size of batch."""
    disturbed = Pace(0.004, 2_000.0)
    assert disturbed.learned(1, 0.001).seconds(1) == pytest.approx(0.001)
    assert disturbed.learned(1, 0.001).rows_per_s == 2_000.0
    assert disturbed.learned(100, 0.01).rows_per_s == pytest.approx(10_000.0)
    pace = Pace(0.001, 10_000.0)
    assert pace.learned(1, 0.002).seconds(1) == pytest.approx(0.0011)
    assert pace.learned(1, 60.0).seconds(1) == pytest.approx(0.0015)
    for _ in range(100):
        pace = pace.learned(1, 0.003)
    assert pace.seconds(1) == pytest.approx(0.003, rel=0.01)
    assert Pace().learned(5, 1.0) == Pace()
