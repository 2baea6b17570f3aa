"""Further forms of the Open Inference Protocol: matrices, raw bodies, content types."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from tests.frames_rig import FRAME, NUMBERS, version

from shipway.contract.block import RowMajor
from shipway.contract.schema import Column, Contract
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import MalformedRequest
from shipway.inference.decision import DecisionRule
from shipway.inference.predictor import Answer, ServedVersion
from shipway.serving.protocols.decoded import Decoded
from shipway.serving.protocols.oip_codec import Codec

ROWS = [[0.5, 1.5, 2.5, 3.5, 4.5], [5.0, 6.0, 7.0, 8.0, 9.0]]


def codec_of(contract: Contract) -> Codec:
    """The codec of the model on *contract*."""
    if contract.model in {"frame", "numbers"}:
        served = version(contract)
    else:
        inputs = tuple(InputSpec(c.name, c.kind, c.nullable) for c in contract.features)
        spec = ModelSpec(format="fake", task=Task.REGRESSION, inputs=inputs, main_file="m")
        served = ServedVersion(
            endpoint="e", model="m", number=1, digest="d", contract=contract, spec=spec
        )
    rule = DecisionRule.of(served.spec, threshold=served.threshold)
    return Codec(served, rule)


def one_feature(kind: Kind) -> Contract:
    """A contract of a single feature."""
    return Contract(model="one", task=Task.REGRESSION, columns=(Column(name="x", kind=kind),))


def decode(body: Any, contract: Contract = NUMBERS, blob: bytes = b"") -> Decoded:
    """The request in *body*, with *blob* behind it."""
    head = json.dumps(body).encode()
    return codec_of(contract).decode(head + blob, len(head) if blob else None)


def matrix(**changes: Any) -> dict[str, Any]:
    """A request with one matrix."""
    one = {"name": "rows", "shape": [2, 5], "datatype": "FP64", "data": ROWS}
    return {"inputs": [{**one, **changes}]}


def rows_of(decoded: Decoded) -> list[list[Any]]:
    """The rows of *decoded*."""
    columns = [np.asarray(decoded.columns[column.name]).tolist() for column in NUMBERS.features]
    return [list(row) for row in zip(*columns, strict=True)]


def test_matrices_in_json() -> None:
    """Rows come nested or flat, under any name that is no column's."""
    flat = [value for row in ROWS for value in row]
    for body in (matrix(), matrix(data=flat), matrix(name="anything", datatype="INT32")):
        decoded = decode(body)
        assert rows_of(decoded) == ROWS
        assert decoded.rows == 2


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "FP16"])
def test_a_binary_matrix_is_not_taken_apart(datatype: str) -> None:
    """The bytes of a binary matrix are what the model's rows are made of, without a copy."""
    dtype = {"FP64": "<f8", "FP32": "<f4", "FP16": "<f2"}[datatype]
    blob = np.array(ROWS, dtype=dtype).tobytes()
    body = matrix(datatype=datatype, parameters={"binary_data_size": len(blob)})
    del body["inputs"][0]["data"]
    decoded = decode(body, blob=blob)
    assert isinstance(decoded.columns, RowMajor)
    assert isinstance(decoded.columns.numbers, np.ndarray)
    assert not decoded.columns.numbers.flags.owndata
    assert rows_of(decoded) == ROWS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": ROWS[:1]}, "1 values and the shape"),
        ({"data": [ROWS[0], ROWS[1][:4]]}, "nested unlike its shape"),
        ({"data": [1.0] * 9}, "9 values and the shape"),
        ({"shape": [2, 4]}, "shape"),
        ({"shape": [0, 5], "data": []}, "no row"),
        ({"datatype": "BYTES"}, "a number's is due"),
        ({"datatype": "FP16"}, "send them in binary"),
        ({"datatype": "BF16"}, "send them in binary"),
        ({"data": None}, "binary_data_size"),
        ({"data": None, "parameters": {"shared_memory_region": "r"}}, "shared memory"),
    ],
)
def test_matrices_at_fault(changes: dict[str, Any], words: str) -> None:
    """A matrix that contradicts itself is refused in words that name the fault."""
    with pytest.raises(MalformedRequest, match=words):
        decode(matrix(**changes))


def test_a_frame_is_no_matrix() -> None:
    """Where a feature is text, one tensor of the width of a row is refused."""
    with pytest.raises(MalformedRequest, match="shape"):
        decode(matrix(shape=[1, 10], data=[[1] * 10]), FRAME)


# ---- raw bodies -------------------------------------------------------------------------------


def test_raw_rows_of_numbers() -> None:
    """A body of FP64 values is whole rows, as many as there are."""
    decoded = codec_of(NUMBERS).decode(np.array(ROWS).tobytes(), 0)
    assert rows_of(decoded) == ROWS
    assert decoded.rows == 2


@pytest.mark.parametrize(
    ("kind", "body", "values"),
    [
        (Kind.NUMBER, np.array([0.5, 1.5]).tobytes(), [0.5, 1.5]),
        (Kind.INTEGER, np.array([7, 2**62]).tobytes(), [7, 2**62]),
        (Kind.BOOLEAN, b"\1\0", [True, False]),
        (Kind.STRING, "Zürich".encode(), ["Zürich"]),
        (Kind.TIMESTAMP, b"2013-04-01T12:00:00Z", ["2013-04-01T12:00:00Z"]),
    ],
)
def test_raw_single_inputs(kind: Kind, body: bytes, values: list[Any]) -> None:
    """One feature: the body is its values in its datatype, or one text."""
    decoded = codec_of(one_feature(kind)).decode(body, 0)
    assert np.asarray(decoded.columns["x"], dtype=object).tolist() == values
    assert decoded.rows == len(values)


def test_a_raw_request_is_answered_in_binary() -> None:
    """Every output of a raw request follows its JSON in binary."""
    decoded = codec_of(one_feature(Kind.NUMBER)).decode(np.array([0.5]).tobytes(), 0)
    body, kind, headers = decoded.write(Answer("R", 1, [0.25], [0.25], ["R:0"], {}))
    length = int(headers.split(b": ")[1])
    assert kind == b"application/octet-stream"
    sizes = [one["parameters"]["binary_data_size"] for one in json.loads(body[:length])["outputs"]]
    assert sum(sizes) == len(body) - length


@pytest.mark.parametrize(
    ("contract", "body", "words"),
    [
        (NUMBERS, b"", "no whole rows"),
        (NUMBERS, b"x" * 41, "no whole rows of 5 FP64"),
        (FRAME, b"x" * 80, "some of them text"),
        (one_feature(Kind.STRING), b"\xff", "not UTF-8"),
        (one_feature(Kind.BOOLEAN), b"\2", "0 or 1"),
    ],
)
def test_raw_bodies_at_fault(contract: Contract, body: bytes, words: str) -> None:
    """A body that is not whole rows, or has no one input to be, is refused."""
    with pytest.raises(MalformedRequest, match=words):
        codec_of(contract).decode(body, 0)


# ---- content types and parameters -------------------------------------------------------------


def frame(of_request: dict[str, Any] | None, **data: Any) -> dict[str, Any]:
    """A request of the frame's column ``city``."""
    one = {"name": "city", "shape": [1], "datatype": "BYTES", "data": ["Lima"], **data}
    return {"inputs": [one], "parameters": of_request}


def test_content_types() -> None:
    """str, datetime and np are the values as they are, base64 is read, pd is a frame."""
    for kind in ("str", "datetime", "np"):
        body = frame({"content_type": "pd"}, parameters={"content_type": kind})
        assert decode(body, FRAME).columns["city"] == ["Lima"]
    told = b64encode("Zürich".encode()).decode()
    body = frame(None, data=[told], parameters={"content_type": "base64"})
    assert decode(body, FRAME).columns["city"] == ["Zürich"]


def test_a_frame_is_answered_as_one() -> None:
    """Who sends a data frame gets one: its answer says pd, and its texts say str."""
    decoded = decode(frame({"content_type": "pd"}), FRAME)
    told = json.loads(decoded.write(Answer("R", 1, [0.25], [True], ["R:0"], {})).body)
    assert told["parameters"] == {"content_type": "pd"}
    kinds = {one["name"]: one.get("parameters") for one in told["outputs"]}
    assert kinds == {"label": None, "score": None, "prediction_id": {"content_type": "str"}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (frame({"content_type": "pickle"}), "content_type 'pickle'"),
        (frame(None, parameters={"content_type": "image"}), "content_type 'image'"),
        (frame(None, parameters={"content_type": 7}), "content_type '7'"),
        (frame(None, parameters={"content_type": "base64"}, data=["ä"]), "no base64"),
        (frame(None, parameters={"content_type": "base64"}, data=["/w=="]), "no base64 of UTF-8"),
        (frame({"timeout": -1}), "timeout"),
        (frame({"timeout": "1s"}), "timeout"),
        (frame({"timeout": True}), "timeout"),
        (frame({"binary_data_output": 1}), "binary_data_output"),
        ({**frame(None), "id": "ä"}, "printable ASCII"),
        (
            {**frame(None), "outputs": [{"name": "label", "parameters": {"binary_data": "yes"}}]},
            "binary_data",
        ),
    ],
)
def test_parameters_at_fault(body: dict[str, Any], words: str) -> None:
    """A parameter that would be misread is refused by its name."""
    with pytest.raises(MalformedRequest, match=words):
        decode(body, FRAME)


def test_a_number_has_no_text_content() -> None:
    """A text's content type on a number's tensor is refused."""
    body = matrix(name="x0", shape=[1], data=[1.0], parameters={"content_type": "str"})
    with pytest.raises(MalformedRequest, match="not BYTES"):
        decode(body)


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, float("inf")), (0, float("inf")), (1_500, 0.0015)]
)
def test_timeout(given: int | None, seconds: float) -> None:
    """Triton's timeout is in microseconds, and 0 is none."""
    assert decode(frame({"timeout": given}), FRAME).timeout_s == seconds


def test_what_is_passed_over() -> None:
    """Sequences, priorities and parameters of a client's own change nothing."""
    parameters = {"sequence_id": 4, "sequence_start": True, "priority": 1, "mine": {"a": [1]}}
    assert decode(frame(parameters), FRAME).columns["city"] == ["Lima"]
