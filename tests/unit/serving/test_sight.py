"""The short way of reading a request reads what the long one reads."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_rig import served

from shipway.contract.block import RowMajor
from shipway.contract.schema import Column, Contract
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import MalformedRequest
from shipway.inference.decision import DecisionRule
from shipway.serving.protocols.oip_codec import Codec

NUMBERS = Contract(
    model="late",
    task=Task.BINARY,
    columns=tuple(Column(name=name, kind=Kind.NUMBER, nullable=True) for name in "abc"),
)


def codec(contract: Contract) -> Codec:
    version = msgspec.structs.replace(served(), contract=contract)
    return Codec(version, DecisionRule.of(version.spec, threshold=0.5, positive="1"))


def tensor(name: str, shape: list[int], data: list[Any], datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def body(*inputs: dict[str, Any], **extra: Any) -> bytes:
    return json.dumps({"inputs": inputs, **extra}).encode()


VALUE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9) | st.none()


@given(st.lists(st.tuples(VALUE, VALUE, VALUE), min_size=1, max_size=4), st.booleans())
def test_matrix_and_columns_agree(rows: list[tuple[Any, ...]], tall: bool) -> None:
    """The same rows as one matrix and as one input a column are the same request."""
    reader = codec(NUMBERS)
    flat = [value for row in rows for value in row]
    one = reader.decode(body(tensor("any", [len(rows), 3], flat)), None)
    shape = [len(rows), 1] if tall else [len(rows)]
    inputs = [
        tensor(n, shape, list(c)) for n, c in zip("abc", zip(*rows, strict=True), strict=True)
    ]
    many = reader.decode(body(*inputs), None)
    shuffled = reader.decode(body(*reversed(inputs)), None)
    assert isinstance(one.columns, RowMajor)
    assert isinstance(many.columns, RowMajor)
    assert one.rows == many.rows == shuffled.rows == len(rows)
    assert dict(one.columns) == dict(many.columns) == dict(shuffled.columns)


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor("x", [1, 2], [1, 2])],
        [tensor("x", [2, 3], [1, 2, 3])],
        [tensor("x", [-1, -3], [1, 2, 3])],
        [tensor("x", [1, 3], ["1", "2", "3"], "BYTES")],
        [tensor("x", [0, 3], [])],
        [tensor("x", [1, 3], [1, 2, 3]), tensor("x", [1, 3], [1, 2, 3])],
        [tensor("a", [1], [1]), tensor("a", [1], [1]), tensor("c", [1], [1])],
        [tensor("a", [1], [1]), tensor("b", [2], [1, 2]), tensor("c", [1], [1])],
        [tensor("a", [2], [1]), tensor("b", [2], [1]), tensor("c", [2], [1])],
    ],
)
def test_faults_are_told(inputs: list[dict[str, Any]]) -> None:
    """What contradicts itself is refused, whichever way it is read."""
    with pytest.raises(MalformedRequest):
        codec(NUMBERS).decode(body(*inputs), None)


@pytest.mark.parametrize("data", [[1, True, 2], [1, "2", 3], [[1], 2, 3]])
def test_no_value_changes_its_type(data: list[Any]) -> None:
    """A boolean or a text among numbers does not become one on the short way."""
    try:
        decoded = codec(NUMBERS).decode(body(tensor("x", [1, 3], data)), None)
    except MalformedRequest:
        return
    assert not isinstance(decoded.columns, RowMajor)


@given(
    st.lists(
        st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 3),
        min_size=1,
        max_size=4,
    )
)
def test_every_form_of_a_matrix(rows: list[tuple[float, ...]]) -> None:
    """Flat, nested and binary, in either width of float, a matrix is the same request."""
    reader = codec(NUMBERS)
    flat = [value for row in rows for value in row]
    shape = [len(rows), 3]
    told = [reader.decode(body(tensor("x", shape, flat)), None)]
    told.append(reader.decode(body(tensor("x", shape, [list(row) for row in rows])), None))
    for datatype, dtype in (("FP32", "<f4"), ("FP64", "<f8")):
        blob = np.array(flat, dtype=dtype).tobytes()
        one = tensor("x", shape, [], datatype) | {"parameters": {"binary_data_size": len(blob)}}
        del one["data"]
        head = body(one)
        told.append(reader.decode(head + blob, len(head)))
    columns = [{name: list(one.columns[name]) for name in "abc"} for one in told]
    assert all(one == columns[0] for one in columns)
    assert all(one.rows == len(rows) for one in told)


def test_a_matrix_of_whole_numbers_and_booleans() -> None:
    """Where not every feature is a plain number a matrix is taken apart, each value as it is."""
    kinds = {"a": Kind.NUMBER, "b": Kind.INTEGER, "c": Kind.BOOLEAN}
    columns = tuple(Column(name=name, kind=kind) for name, kind in kinds.items())
    contract = Contract(model="late", task=Task.BINARY, columns=columns)
    data = [0.5, 2**53 + 1, True, 1.5, 7, False]
    decoded = codec(contract).decode(body(tensor("x", [2, 3], data)), None)
    assert decoded.columns == {"a": [0.5, 1.5], "b": [2**53 + 1, 7], "c": [True, False]}


def binary(
    rows: list[tuple[float, ...]], datatype: str = "FP64", **extra: Any
) -> tuple[bytes, int]:
    """A request of *rows* behind its JSON, and the length of that."""
    dtype = {"FP64": "<f8", "FP32": "<f4", "BF16": "<u2"}[datatype]
    blob = np.array(rows, dtype=dtype).tobytes()
    one = tensor("x", [len(rows), 3], [], datatype) | {
        "parameters": {"binary_data_size": len(blob)}
    }
    del one["data"]
    head = body(one, **extra)
    return head + blob, len(head)


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(*[st.integers(0, 99)] * 3), min_size=1, max_size=3),
            st.sampled_from(["FP64", "FP32", "BF16"]),
            st.sampled_from([{}, {"id": "r-1"}, {"parameters": {"timeout": 5}}]),
        ),
        min_size=2,
        max_size=8,
    )
)
def test_a_head_met_before_is_read_like_a_new_one(requests: list[tuple[Any, str, Any]]) -> None:
    """Whatever a codec has read before, a binary request means what it means to a fresh one."""
    reader = codec(NUMBERS)
    for rows, datatype, extra in requests:
        for _ in range(2):
            data, length = binary(rows, datatype, **extra)
            one, fresh = reader.decode(data, length), codec(NUMBERS).decode(data, length)
            assert {n: list(v) for n, v in one.columns.items()} == {
                n: list(v) for n, v in fresh.columns.items()
            }
            assert (one.rows, one.timeout_s) == (fresh.rows, fresh.timeout_s)
            assert (one.id == "r-1") is (fresh.id == "r-1") is ("id" in extra)
            assert len(one.id) == len(fresh.id)


def test_a_known_head_does_not_excuse_a_wrong_length() -> None:
    """The same JSON before fewer or more bytes is refused, the second time as the first."""
    reader = codec(NUMBERS)
    data, length = binary([(1.0, 2.0, 3.0)])
    for _ in range(2):
        reader.decode(data, length)
        for wrong in (data[:-8], data + bytes(8)):
            with pytest.raises(MalformedRequest):
                reader.decode(wrong, length)


def test_a_head_of_the_same_length_is_not_the_one_met_before() -> None:
    """One row of FP64 and two of FP32 are as many bytes, and so are their heads."""
    reader = codec(NUMBERS)
    one, length = binary([(1.0, 2.0, 3.0)])
    two, same = binary([(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)], "FP32")
    assert (len(one), length) == (len(two), same)
    for data, rows in ((one, 1), (two, 2), (one, 1)):
        decoded = reader.decode(data, length)
        assert decoded.rows == rows
        assert list(decoded.columns["c"]) == [3.0, 6.0][:rows]


NESTED: Any = [[[[1]]]]


@pytest.mark.parametrize(
    "document",
    [
        body(tensor("x", [1, 3], [1, 2, 3]), parameters={"p": NESTED}),
        body(tensor("x", [1, 3], [1, 2, 3]) | {"parameters": {"p": NESTED}}),
        body(tensor("x", [1, 3], [1, 2, 3]), outputs=[{"name": "y", "parameters": {"p": NESTED}}]),
        body(tensor("x", [1, 3], [1, 2, 3]), unknown=NESTED),
        body(tensor("x", [1, 3], [1, 2, 3]) | {"unknown": NESTED}),
        body(tensor("x", [1, 3], [1, 2, 3]), {"unknown": NESTED}),
        body(tensor("x", [1, 3], NESTED)),
        b"[[[[",
    ],
)
def test_what_may_nest_is_looked_at_first(document: bytes) -> None:
    """The bounds are asked about every request that is more than flat numbers."""
    asked: list[bytes] = []

    def check(text: Any) -> None:
        asked.append(bytes(text))
        raise MalformedRequest("too deep", next_step="send it flat")

    with pytest.raises(MalformedRequest, match="too deep"):
        codec(NUMBERS).decode(document, None, check)
    assert asked == [document]


def test_a_long_body_is_looked_at_first() -> None:
    """However flat it is, many numbers cost more memory than bytes."""
    asked: list[int] = []
    document = body(tensor("x", [2**17, 3], [0.25] * (3 * 2**17)))
    decoded = codec(NUMBERS).decode(document, None, lambda text: asked.append(len(text)))
    assert asked == [len(document)]
    assert decoded.rows == 2**17
