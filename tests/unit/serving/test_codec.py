"""Between the Open Inference Protocol and columns: structure is judged, all faults at once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_rig import CONTRACT, columns, infer_body, served

from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import MalformedRequest
from shipway.inference.decision import DecisionRule
from shipway.inference.predictor import Answer
from shipway.serving.protocols.oip_codec import Codec
from shipway.serving.protocols.tensors import write_tensor


def codec() -> Codec:
    version = served()
    return Codec(version, DecisionRule.of(version.spec, threshold=0.5, positive="1"))


def decode(body: Any, json_length: int | None = None) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return codec().decode(data, json_length)


def one_input(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "distance", "shape": [2], "datatype": "FP64", "data": [1.5, None]}
    return {"inputs": [{**tensor, **changes}]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shape": [2, 1]},
        {"shape": [2, 1], "data": [[1.5], [None]]},
        {"datatype": "FP32"},
        {"parameters": {"content_type": "np"}},
        {"extra": {"deep": [1, {"x": None}]}},
    ],
)
def test_shapes(changes: dict[str, Any]) -> None:
    """[n], [n, 1], flat and nested, and any datatype of a number all mean the same column."""
    decoded = decode(one_input(**changes))
    assert decoded.columns == {"distance": [1.5, None]}
    assert decoded.rows == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": []}, "shape"),
        ({"shape": [2, 2]}, "shape"),
        ({"shape": [1, 2]}, "shape"),
        ({"shape": [-2]}, "shape"),
        ({"shape": [3]}, "2 values"),
        ({"shape": [2**62]}, "2 values"),
        ({"shape": [2**70]}, "2 values"),
        ({"shape": ["2"]}, "shape"),
        ({"data": [[1.5], [None]]}, "nested"),
        ({"shape": [2, 1], "data": [[1.5], 2.0]}, "nested"),
        ({"shape": [2, 1], "data": [[1.5, 2.0], [1]]}, "nested"),
        ({"data": [[[1.5]], [2]]}, "not an inference request"),
        ({"data": {"a": 1}}, "not an inference request"),
        ({"datatype": "FP128"}, "datatype"),
        ({"datatype": "BYTES"}, "datatype"),
        ({"name": "city"}, "datatype"),
        ({"name": 3}, "name"),
        ({"data": None}, "binary_data_size"),
        ({"data": None, "parameters": {"binary_data_size": 16}}, "binary_data_size"),
        ({"data": None, "parameters": {"binary_data_size": -1}}, "binary_data_size"),
        ({"data": None, "parameters": {"binary_data_size": True}}, "binary_data_size"),
        ({"shape": [0], "data": []}, "no row"),
    ],
)
def test_faults(changes: dict[str, Any], words: str) -> None:
    """A tensor that contradicts itself is refused in words that name the fault."""
    with pytest.raises(MalformedRequest, match=words):
        decode(one_input(**changes))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"inputs": NaN}',
        b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [NaN]}]}',
        b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [Infinity]}]}',
        b"\xff\xfe{}",
        b'{"inputs": []}',
        b"[" * 100_000,
        b'{"parameters": {"a": ' + b"[" * 100_000,
        b'{"inputs": [{"name": "\xc3"}]}',
    ],
)
def test_not_json(body: bytes) -> None:
    """What is no JSON, or another shape of it, is a malformed request, however deep."""
    with pytest.raises(MalformedRequest):
        decode(body)


def test_all_faults_at_once() -> None:
    """Every fault of a request is told, with the input that it is in."""
    body = infer_body({**columns(2), "hour": [1]}, outputs=[{"name": "nope"}], id="x" * 200)
    body["inputs"].append(body["inputs"][0])
    body["inputs"][1]["datatype"] = "BYTES"
    with pytest.raises(MalformedRequest) as caught:
        decode(body)
    where = [problem.where for problem in caught.value.problems]
    assert where == [
        "input distance", "input hour", "input city", "input nope", "the request",
    ]  # fmt: skip


def test_unknown_inputs_are_the_contracts_business() -> None:
    """A column that the contract does not know is passed on, for the contract to name it."""
    assert "stranger" in decode(infer_body({**columns(), "stranger": ["x"]})).columns


def test_id() -> None:
    """The client's id is kept; without one there is a new one each time."""
    assert decode(infer_body(id="mine")).id == "mine"
    first, second = decode(infer_body()).id, decode(infer_body(id="")).id
    assert len(first) == len(second) == 32
    assert first != second


def binary(**arrays: tuple[str, list[Any]]) -> tuple[bytes, int]:
    inputs, blobs = [], b""
    for name, (datatype, values) in arrays.items():
        blob = write_tensor(datatype, values)
        parameters = {"binary_data_size": len(blob)}
        shape = [len(values)]
        inputs.append(
            {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}
        )
        blobs += blob
    head = json.dumps({"inputs": inputs}).encode()
    return head + blobs, len(head)


def test_binary_inputs() -> None:
    """Binary tensors are read in the order of the inputs."""
    body, length = binary(
        city=("BYTES", ["EWR", "é"]), hour=("INT32", [3, 4]), rain=("BOOL", [True, False])
    )
    decoded = codec().decode(body, length)
    assert decoded.columns["city"] == ["EWR", "é"]
    assert np.asarray(decoded.columns["hour"]).tolist() == [3, 4]
    assert np.asarray(decoded.columns["rain"]).tolist() == [True, False]


@pytest.mark.parametrize(("cut", "length"), [(1, None), (0, 10**6), (0, 0), (-3, None)])
def test_binary_faults(cut: int, length: int | None) -> None:
    """Too few, too many or misplaced bytes are refused."""
    body, true_length = binary(distance=("FP64", [1.0, 2.0]))
    body = body[:-cut] if cut > 0 else body + b"x" * -cut
    with pytest.raises(MalformedRequest):
        codec().decode(body, true_length if length is None else length)


ANSWER = Answer("R", 1, [0.25, 0.75], [0, 1], ["R:0", "R:1"], {"contract.unseen-category": 1})


def encode(answer: Answer, **request: Any) -> tuple[Any, bytes]:
    body, _, headers = decode(infer_body(**request)).write(answer)
    length = int(headers.split(b": ")[1]) if headers else None
    return json.loads(body[:length]), b"" if length is None else body[length:]


def test_response() -> None:
    """The answer has label, score and prediction id, the version, the id and the warnings."""
    response, _ = encode(ANSWER)
    assert response == {
        "model_name": "late",
        "model_version": "1",
        "id": "R",
        "parameters": {"warning.contract.unseen-category": 1},
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [2], "data": [0, 1]},
            {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.25, 0.75]},
            {"name": "prediction_id", "datatype": "BYTES", "shape": [2], "data": ["R:0", "R:1"]},
        ],
    }


def test_requested_outputs() -> None:
    """Only what is asked for is sent, in the order asked."""
    response, _ = encode(ANSWER, outputs=[{"name": "score"}, {"name": "label"}, {"name": "score"}])
    assert [one["name"] for one in response["outputs"]] == ["score", "label"]


def test_binary_outputs() -> None:
    """An output asked for in binary comes after the JSON; one said not to be does not."""
    response, blobs = encode(
        ANSWER,
        parameters={"binary_data_output": True},
        outputs=[{"name": "score"}, {"name": "label", "parameters": {"binary_data": False}}],
    )
    score, label = response["outputs"]
    assert score["parameters"] == {"binary_data_size": 16}
    assert "data" not in score
    assert label["data"] == [0, 1]
    assert np.frombuffer(blobs, "<f8").tolist() == [0.25, 0.75]


def test_multiclass_and_regression() -> None:
    """A multiclass answer has the probabilities of all classes, a regression its value."""
    spec = ModelSpec(
        format="fake", task=Task.MULTICLASS, inputs=(InputSpec("distance", Kind.NUMBER),),
        classes=("a", "b", "c"), main_file="m",
    )  # fmt: skip
    version = served()
    many = Codec(_with(version, spec), DecisionRule.of(spec))
    write = many.decode(json.dumps(infer_body()).encode(), None).write
    body = write(Answer("R", 1, [[0.2, 0.3, 0.5]], ["c"], ["R:0"], {})).body
    label, probabilities, _ = json.loads(body)["outputs"]
    assert label == {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["c"]}
    assert (probabilities["shape"], probabilities["data"]) == ([1, 3], [0.2, 0.3, 0.5])
    described = json.loads(many.metadata())["outputs"]
    assert described[1] == {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]}

    spec = ModelSpec(format="fake", task=Task.REGRESSION, inputs=(), main_file="m")
    value = Codec(_with(version, spec), DecisionRule.of(spec))
    write = value.decode(json.dumps(infer_body()).encode(), None).write
    body = write(Answer("R", 1, [2.5], [2.5], ["R:0"], {})).body
    assert [one["datatype"] for one in json.loads(body)["outputs"]] == ["FP64", "FP64", "BYTES"]


def _with(version: Any, spec: ModelSpec) -> Any:
    return type(version)(
        endpoint="late", model="late", number=1, digest="sha256:0", contract=CONTRACT, spec=spec
    )


def test_metadata() -> None:
    """Metadata has one input a feature, of its datatype, and says what is optional."""
    told = json.loads(codec().metadata())
    assert [(one["name"], one["datatype"], one["shape"]) for one in told["inputs"]] == [
        ("city", "BYTES", [-1]),
        ("distance", "FP64", [-1]),
        ("hour", "INT64", [-1]),
        ("rain", "BOOL", [-1]),
    ]
    assert told["parameters"]["optional_inputs"] == "departs"
    assert told["versions"] == ["1"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"inputs": st.lists(st.fixed_dictionaries({
    "name": st.sampled_from(["city", "distance", "x"]) | JSON,
    "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
    "datatype": st.sampled_from(["BYTES", "FP64", "BOOL"]) | JSON,
    "data": st.lists(JSON, max_size=3) | JSON,
}), max_size=3)}))  # fmt: skip
def test_any_json(body: dict[str, Any]) -> None:
    """Whatever JSON comes, it is a request or a malformed one; nothing else is raised."""
    try:
        decoded = decode(json.dumps(body, ensure_ascii=True).encode())
    except MalformedRequest:
        return
    assert decoded.rows > 0
