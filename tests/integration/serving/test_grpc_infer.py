"""Predictions over gRPC: every form of a request, equal answers, and every structural fault."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.grpc_rig import INFER as METHOD
from tests.grpc_rig import Answered, ask, channel, infer_request, outputs
from tests.serving_rig import (
    MODEL,
    FakeModel,
    MemorySink,
    World,
    columns,
    eventually,
    infer_body,
    post,
    running,
    served,
)

from shipway.contract.block import RowMajor
from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import MalformedRequest
from shipway.inference.predictor import Predictor, Request, ServedVersion
from shipway.registry.records import EndpointState
from shipway.runtimes.port import Columns
from shipway.serving.routing import Served
from shipway.serving.rpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from shipway.serving.rpc.options import GrpcOptions
from shipway.serving.rpc.tensors import TensorCodec


@pytest.fixture(scope="module")
def grpc_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker that answers over both protocols and asks for no key."""
    with running(tmp_path_factory.mktemp("run"), grpc=GrpcOptions()) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


@pytest.fixture(scope="module")
def line(grpc_world: World) -> Iterator[grpc.Channel]:
    """One connection for all tests."""
    with channel(grpc_world.grpc) as opened:
        yield opened


def infer(line: grpc.Channel, request: ModelInferRequest) -> Answered:
    return ask(line, METHOD, request.SerializeToString())


SOME: dict[str, list[Any]] = {
    "city": ["EWR", "JFK", "EWR"],
    "distance": [0.1 + 0.2, None, 999.99],
    "hour": [0, -7, 2**40],
    "rain": [True, False, True],
}


@pytest.mark.parametrize("raw", [False, True])
def test_equal_answers(grpc_world: World, line: grpc.Channel, raw: bool) -> None:
    """The same rows are answered alike, to the last bit, by gRPC, by JSON and in process."""
    response = infer(line, infer_request(SOME, raw=raw, id="q")).response
    assert (response.model_name, response.model_version, response.id) == (MODEL, "1", "q")
    assert bool(response.raw_output_contents) is raw
    body = json.dumps(infer_body(SOME, id="q")).encode()
    told = grpc_world.ask(post(f"/v2/models/{MODEL}/infer", body)).json
    assert outputs(response) == {one["name"]: one["data"] for one in told["outputs"]}
    predictor = Predictor(served(), FakeModel(), MemorySink(), time.time_ns)
    (answer,) = predictor.predict([Request("q", SOME, "", 0)])
    assert outputs(response)["score"] == answer.scores  # type: ignore[union-attr]


def test_events_are_equal(grpc_world: World, line: grpc.Channel) -> None:
    """What is remembered of a request does not tell by which protocol it came."""
    for raw in (False, True):
        infer(line, infer_request(SOME, raw=raw, id="e"))
    grpc_world.ask(post(f"/v2/models/{MODEL}/infer", json.dumps(infer_body(SOME, id="e")).encode()))
    eventually(lambda: sum(event.request_id == "e" for event in grpc_world.sink.events) == 3)
    kept = [event for event in grpc_world.sink.events if event.request_id == "e"]
    assert kept[0].columns == kept[1].columns == kept[2].columns
    assert kept[0].scores == kept[1].scores == kept[2].scores


@pytest.mark.parametrize(
    ("datatype", "values"),
    [("INT8", [7, -8]), ("UINT8", [7, 200]), ("UINT64", [7, 2**40]), ("FP32", [7.0, 8.0])],
)
@pytest.mark.parametrize("raw", [False, True])
def test_datatypes(line: grpc.Channel, datatype: str, values: list[Any], raw: bool) -> None:
    """A number may come in any datatype of numbers, typed or raw."""
    data = {**columns(2), "hour": values}
    datatypes = {"city": "BYTES", "distance": "FP64", "hour": datatype, "rain": "BOOL"}
    request = infer_request(data, raw=raw, datatypes=datatypes)
    assert outputs(infer(line, request).response)["score"] == [0.1, 0.1]


@pytest.mark.parametrize(("datatype", "dtype"), [("FP16", "<f2"), ("BF16", "<u2")])
def test_half_precision(line: grpc.Channel, datatype: str, dtype: str) -> None:
    """FP16 and BF16 are read where they are raw, and refused where they are not."""
    request = infer_request(raw=True)
    tensor = next(one for one in request.inputs if one.name == "distance")
    tensor.datatype = datatype
    place = list(request.inputs).index(tensor)
    bits = np.array([0.5 if dtype == "<f2" else 0x3F00], dtype=dtype)
    request.raw_input_contents[place] = bits.tobytes()
    assert outputs(infer(line, request).response)["score"] == [0.0005]
    del request.raw_input_contents[:]
    answered = infer(line, request)
    assert answered.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answered.trailers["shipway-code"] == "request.malformed"


def test_requested_outputs(line: grpc.Channel) -> None:
    """Only what was asked for comes, in that order."""
    request = infer_request()
    for name in ("score", "label"):
        request.outputs.add(name=name)
    assert list(outputs(infer(line, request).response)) == ["score", "label"]


def test_an_id_is_made(line: grpc.Channel) -> None:
    """A request without an id is given one, and its predictions are named after it."""
    response = infer(line, infer_request()).response
    assert response.id
    assert outputs(response)["prediction_id"] == [f"{response.id}:0"]


def test_missing_text(line: grpc.Channel) -> None:
    """A missing value that has no NaN is named in `nulls`, and the contract judges it."""
    answered = infer(line, infer_request({**columns(2), "city": ["EWR", None]}))
    assert answered.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answered.trailers["shipway-code"] == "contract.violated"
    assert "row 1, column city" in answered.trailers["grpc-status-details-bin"].decode(  # type: ignore[union-attr]
        "utf-8", "replace"
    )


Change = Callable[[ModelInferRequest], object]


def shaped(*shape: int, add: float | None = None) -> Change:
    """Give the second input another shape, and one more value."""

    def change(request: ModelInferRequest) -> None:
        request.inputs[1].shape[:] = shape
        if add is not None:
            request.inputs[1].contents.fp64_contents.append(add)

    return change


def emptied(request: ModelInferRequest) -> None:
    for tensor in request.inputs:
        tensor.shape[:] = [0]
        tensor.ClearField("contents")


def moved(request: ModelInferRequest) -> None:
    request.inputs[1].ClearField("contents")
    request.inputs[1].contents.fp32_contents.append(1.0)


def blob(place: int, data: bytes) -> Change:
    return lambda request: request.raw_input_contents.__setitem__(place, data)


def said(place: int, name: str, text: str) -> Change:
    """Give an input a parameter."""
    return lambda request: setattr(request.inputs[place].parameters[name], "string_param", text)


def shared_output(request: ModelInferRequest) -> None:
    wanted = request.outputs.add(name="score")
    wanted.parameters["shared_memory_region"].string_param = "r"


FAULTS: dict[str, Change] = {
    "raw and typed": lambda r: r.inputs[1].contents.fp64_contents.append(1.0),
    "raw of another length": blob(1, b"\0" * 7),
    "raw too few": lambda r: r.raw_input_contents.pop(),
    "raw strings cut": blob(0, b"\x09\0\0\0EWR"),
    "no inputs": lambda r: r.ClearField("inputs"),
    "no rows": emptied,
    "shape": shaped(1, 1, 1),
    "negative": shaped(-1),
    "huge": shaped(2**62, 2),
    "rows": shaped(2, add=2.0),
    "count": shaped(2),
    "field": moved,
    "two fields": lambda r: r.inputs[1].contents.fp32_contents.append(1.0),
    "datatype": lambda r: setattr(r.inputs[1], "datatype", "FP128"),
    "text for a number": lambda r: setattr(r.inputs[1], "datatype", "BYTES"),
    "utf-8": lambda r: r.inputs[0].contents.bytes_contents.__setitem__(0, b"\xff"),
    "twice": lambda r: r.inputs.append(r.inputs[1]),
    "output": lambda r: r.outputs.add(name="nope"),
    "id": lambda r: setattr(r, "id", "a\nb"),
    "timeout": lambda r: setattr(r.parameters["timeout"], "string_param", "soon"),
    "nulls": said(0, "nulls", "1"),
    "nulls text": said(0, "nulls", "all"),
    "shared memory": said(0, "shared_memory_region", "r"),
    "shared output": shared_output,
}


def changed(change: str) -> ModelInferRequest:
    """A good request with one thing wrong."""
    request = infer_request(raw=change.startswith("raw"))
    FAULTS[change](request)
    return request


@pytest.mark.parametrize("change", FAULTS)
def test_faults(grpc_world: World, line: grpc.Channel, change: str) -> None:
    """A request that contradicts itself is refused with what is wrong, and the model not called."""
    calls = len(grpc_world.routing.models[1].calls)
    answered = infer(line, changed(change))
    assert answered.code is grpc.StatusCode.INVALID_ARGUMENT, answered
    assert answered.trailers["shipway-code"] == "request.malformed"
    assert "Next: " in answered.details
    assert len(grpc_world.routing.models[1].calls) == calls


def test_all_faults_at_once(line: grpc.Channel) -> None:
    """Several faults are told together."""
    request = changed("datatype")
    request.inputs[0].shape[:] = [5]
    assert infer(line, request).details.startswith("2 faults: ")


def test_no_message(line: grpc.Channel) -> None:
    """Bytes that are no message are refused as such."""
    answered = ask(line, METHOD, b"\xff\xff\xff")
    assert answered.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "ModelInferRequest" in answered.details


def test_unknown_models(line: grpc.Channel) -> None:
    """A model or a version that is not served is NOT_FOUND, in the words that clients look for."""
    for request in (infer_request(model_name="nope"), infer_request(model_version="9")):
        answered = infer(line, request)
        assert answered.code is grpc.StatusCode.NOT_FOUND
        assert answered.details.startswith("Request for unknown model")
    assert infer(line, infer_request(model_version="1")).code is grpc.StatusCode.OK


def test_what_the_model_cannot(line: grpc.Channel) -> None:
    """A model that raises is INTERNAL, and tells nothing of what it raised."""
    answered = infer(line, infer_request(columns(distance=666.0)))
    assert answered.code is grpc.StatusCode.INTERNAL
    assert "poison" not in answered.details


# ---- numbers alone ------------------------------------------------------------------------------

NUMBERS = Contract(
    model="numbers",
    task=Task.BINARY,
    columns=(
        *(Column(name=f"x{n}", kind=Kind.NUMBER, nullable=n == 0, example=1.0) for n in range(3)),
        Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
    ),
)


class Sum:
    """Scores by the sum of its features."""

    spec = ModelSpec(
        format="fake",
        task=Task.BINARY,
        inputs=tuple(InputSpec(c.name, c.kind, c.nullable) for c in NUMBERS.features),
        classes=(0, 1),
        main_file="model.fake",
    )

    def predict(self, given: Columns) -> NDArray[np.float64]:
        """(n, 2) probabilities."""
        total = sum(np.nan_to_num(given[f"x{n}"].astype(np.float64)) for n in range(3))
        score = np.clip(total / 100, 0, 1)
        return np.column_stack([1 - score, score])

    def close(self) -> None:
        """Nothing to do."""


def numbers() -> tuple[TensorCodec, Predictor]:
    """A codec for numbers alone, and what answers it."""
    version = ServedVersion(
        endpoint="numbers",
        model="numbers",
        number=1,
        digest="sha256:0",
        contract=NUMBERS,
        spec=Sum.spec,
        threshold=0.5,
        positive="1",
    )
    predictor = Predictor(version, Sum(), MemorySink(), time.time_ns)
    state = EndpointState(endpoint="numbers", model="numbers", live=1, sequence=1)
    return TensorCodec(Served.of(state, predictor)), predictor


def scores(request: ModelInferRequest) -> list[float]:
    codec, predictor = numbers()
    decoded = codec.decode(ModelInferRequest.FromString(request.SerializeToString()))
    (answer,) = predictor.predict([Request("r", decoded.columns, "", 0)])
    response = ModelInferResponse.FromString(decoded.write(answer).body)  # type: ignore[arg-type]
    return outputs(response)["score"]


MATRICES = st.integers(1, 400).flatmap(
    lambda rows: st.lists(st.floats(0, 40, width=32), min_size=3, max_size=3).map(
        lambda row: np.resize(np.array(row), (rows, 3))
    )
)


@given(MATRICES)
def test_a_matrix(matrix: NDArray[np.float64]) -> None:
    """Rows of numbers are answered alike as a matrix and as columns, typed and raw."""
    rows = len(matrix)
    expected = np.clip(matrix.sum(axis=1) / 100, 0, 1).tolist()
    datatypes = {f"x{n}": "FP64" for n in range(3)}
    data = {f"x{n}": matrix[:, n].tolist() for n in range(3)}
    forms = [infer_request(data, raw=raw, datatypes=datatypes) for raw in (False, True)]
    typed = ModelInferRequest()
    tensor = typed.inputs.add(name="rows", datatype="FP64", shape=[rows, 3])
    tensor.contents.fp64_contents.extend(matrix.ravel())
    raw = ModelInferRequest(raw_input_contents=[matrix.astype("<f4").tobytes()])
    raw.inputs.add(name="rows", datatype="FP32", shape=[rows, 3])
    for form in (*forms, typed, raw):
        assert scores(form) == pytest.approx(expected, abs=1e-15)
    assert scores(forms[0]) == scores(forms[1]) == scores(typed)


def test_a_matrix_stays_in_one_piece() -> None:
    """A raw matrix of many rows reaches the model without being taken apart."""
    codec, _ = numbers()
    request = ModelInferRequest(raw_input_contents=[np.ones((500, 3)).tobytes()])
    request.inputs.add(name="rows", datatype="FP64", shape=[500, 3])
    decoded = codec.decode(request)
    assert isinstance(decoded.columns, RowMajor)
    assert isinstance(decoded.columns.numbers, np.ndarray)
    assert decoded.rows == 500


@pytest.mark.parametrize(
    ("datatype", "shape", "blobs"),
    [
        ("FP64", [2, 3], [b"\0" * 47]),
        ("FP64", [-2, 3], [b""]),
        ("FP64", [0, 3], [b""]),
        ("BYTES", [1, 3], [b""]),
        ("FP64", [1, 3], [b"\0" * 24, b""]),
        ("FP64", [2**62, 3], [b""]),
    ],
)
def test_no_matrix(datatype: str, shape: list[int], blobs: list[bytes]) -> None:
    """A matrix whose shape and bytes disagree is refused."""
    request = ModelInferRequest(raw_input_contents=blobs)
    request.inputs.add(name="rows", datatype=datatype, shape=shape)
    with pytest.raises(MalformedRequest):
        numbers()[0].decode(request)
