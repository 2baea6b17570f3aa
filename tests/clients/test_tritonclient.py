"""tritonclient over HTTP, as it is installed: every datatype, both forms, and the extensions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.clients.conftest import Called
from tests.frames_rig import DATATYPES, FRAME, NUMBERS, in_process
from tritonclient import http
from tritonclient.http import aio
from tritonclient.utils import InferenceServerException

from shipway.domain.model import Kind

ARRAYS: dict[Kind, Any] = {Kind.NUMBER: np.float64, Kind.INTEGER: np.int64, Kind.BOOLEAN: np.bool_}


@pytest.fixture
def client(called: Called) -> Iterator[http.InferenceServerClient]:
    """The client that waits."""
    made = http.InferenceServerClient(called.address, network_timeout=30)
    yield made
    made.close()


def inputs(module: Any, called: Called, *, binary: bool) -> list[Any]:
    """The columns as tensors; the few that miss values, which numpy cannot say, are left whole."""
    made = []
    for column in FRAME.features:
        values = called.cells[column.name]
        array = np.array(values, dtype=ARRAYS.get(column.kind, np.object_))
        tensor = module.InferInput(column.name, [len(values)], DATATYPES[column.kind])
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made


@pytest.fixture
def whole(called: Called) -> Called:
    """Rows without missing values: a numpy array of text or of whole numbers knows none."""
    full = [
        row
        for row in range(len(called.cells["amount"]))
        if all(values[row] is not None for values in called.cells.values())
    ]
    assert full
    cells = {name: [values[row] for row in full] for name, values in called.cells.items()}
    return Called(called.world, cells, in_process(FRAME, cells))


def check(result: Any, called: Called) -> None:
    """The answer is the model's own."""
    assert result.as_numpy("score").tolist() == called.told.scores
    assert [bool(one) for one in result.as_numpy("label")] == called.told.labels


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("wanted", [None, False, True])
def test_infer(
    client: http.InferenceServerClient, whole: Called, binary: bool, wanted: bool | None
) -> None:
    """Strings, whole numbers, booleans and times go in, and answers come out, in every mixture."""
    outputs = None
    if wanted is not None:
        names = ("score", "label", "prediction_id")
        outputs = [http.InferRequestedOutput(name, binary_data=wanted) for name in names]
    asked = inputs(http, whole, binary=binary)
    result = client.infer("frame", asked, outputs=outputs, headers=whole.headers, request_id="q")
    check(result, whole)
    assert result.get_response()["id"] == "q"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True])
def test_packed(
    client: http.InferenceServerClient, whole: Called, coding: str, binary: bool
) -> None:
    """A request that the client packs is read, and an answer is packed as the client asks."""
    result = client.infer(
        "frame",
        inputs(http, whole, binary=binary),
        headers=whole.headers,
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    check(result, whole)


def test_infer_awaited(whole: Called) -> None:
    """The asyncio client gets the same."""

    async def ask() -> Any:
        async with aio.InferenceServerClient(whole.address) as client:
            assert await client.is_server_ready()
            assert await client.is_model_ready("frame", headers=whole.headers)
            stats = await client.get_inference_statistics("frame", headers=whole.headers)
            assert stats["model_stats"][0]["name"] == "frame"
            asked = inputs(aio, whole, binary=True)
            return await client.infer("frame", asked, headers=whole.headers)

    check(asyncio.run(ask()), whole)


def test_shared_inputs(client: http.InferenceServerClient, whole: Called) -> None:
    """The same tensors may be sent again and again, and several requests at once."""
    asked = inputs(http, whole, binary=True)
    for _ in range(3):
        check(client.infer("frame", asked, headers=whole.headers), whole)
    many = http.InferenceServerClient(whole.address, concurrency=4)
    try:
        pending = [many.async_infer("frame", asked, headers=whole.headers) for _ in range(8)]
        for one in pending:
            check(one.get_result(), whole)
    finally:
        many.close()


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        ("INT8", np.int8), ("INT16", np.int16), ("INT32", np.int32), ("INT64", np.int64),
        ("UINT8", np.uint8), ("UINT16", np.uint16), ("UINT32", np.uint32), ("UINT64", np.uint64),
        ("FP16", np.float16), ("BF16", ml_dtypes.bfloat16), ("FP32", np.float32),
        ("FP64", np.float64),
    ],
)  # fmt: skip
def test_numeric_datatypes(
    client: http.InferenceServerClient, called: Called, datatype: str, dtype: Any
) -> None:
    """Every number's datatype is read, as columns and as one matrix, and means its exact value."""
    matrix: NDArray[Any] = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]).astype(dtype)
    if datatype.startswith(("FP", "BF")):
        matrix = (matrix / np.array(4, dtype=dtype)).astype(dtype)
    names = [column.name for column in NUMBERS.features]
    exact = {name: matrix[:, at].astype(np.float64).tolist() for at, name in enumerate(names)}
    expected = in_process(NUMBERS, exact)

    rows = http.InferInput("rows", list(matrix.shape), datatype)
    rows.set_data_from_numpy(matrix)
    columns = []
    for at, name in enumerate(names):
        columns.append(http.InferInput(name, [2, 1], datatype))
        columns[-1].set_data_from_numpy(np.ascontiguousarray(matrix[:, at : at + 1]))
    for asked in ([rows], columns):
        result = client.infer("numbers", asked, headers=called.headers)
        assert result.as_numpy("probabilities").tolist() == expected.scores
        assert [one.decode() for one in result.as_numpy("label")] == expected.labels


def test_half_precision_is_no_json(client: http.InferenceServerClient, called: Called) -> None:
    """FP16 as JSON is refused in words that say how to send it."""
    rows = http.InferInput("rows", [1, 5], "FP16")
    rows.set_data_from_numpy(np.ones((1, 5), dtype=np.float16), binary_data=False)
    with pytest.raises(InferenceServerException, match="send them in binary"):
        client.infer("numbers", [rows], headers=called.headers)


def test_bytes_that_are_no_text(client: http.InferenceServerClient, whole: Called) -> None:
    """A tensor of bytes that are not UTF-8 is refused, with the element."""
    asked = inputs(http, whole, binary=True)
    rows = len(whole.told.labels)
    bad = http.InferInput("city", [rows], "BYTES")
    bad.set_data_from_numpy(np.array([b"\xff\xfe"] * rows, dtype=np.object_))
    asked = [bad if one.name() == "city" else one for one in asked]
    with pytest.raises(InferenceServerException, match="element 0 is not UTF-8"):
        client.infer("frame", asked, headers=whole.headers)


def test_parameters(client: http.InferenceServerClient, whole: Called) -> None:
    """Sequences, priorities and own parameters are passed over; a timeout is a deadline."""
    asked = inputs(http, whole, binary=True)
    result = client.infer(
        "frame", asked, headers=whole.headers, sequence_id=9, sequence_start=True, priority=2,
        timeout=10_000_000, parameters={"team": "growth"},
    )  # fmt: skip
    check(result, whole)
    with pytest.raises(InferenceServerException) as caught:
        client.infer("frame", asked, headers=whole.headers, timeout=1)
    assert caught.value.status() == "504"


def test_statistics(client: http.InferenceServerClient, whole: Called) -> None:
    """Statistics count requests, rows, calls and time, for one model and for all."""

    def stats(name: str = "") -> dict[str, Any]:
        told = client.get_inference_statistics(name, headers=whole.headers)
        return {one["name"]: one for one in told["model_stats"]}

    assert set(stats()) == {"frame", "numbers"}
    before = stats("frame")["frame"]
    client.infer("frame", inputs(http, whole, binary=True), headers=whole.headers)
    with pytest.raises(InferenceServerException):
        client.infer("frame", inputs(http, whole, binary=True)[:2], headers=whole.headers)
    after = stats("frame")["frame"]
    rows = len(whole.told.labels)
    assert after["version"] == "1"
    assert after["inference_count"] - before["inference_count"] == rows
    for kind in ("success", "fail"):
        was, now = before["inference_stats"][kind], after["inference_stats"][kind]
        assert now["count"] - was["count"] == 1
        assert now["ns"] > was["ns"]
    assert after["execution_count"] > before["execution_count"]
    assert after["inference_stats"]["queue"]["count"] >= 2
    assert after["inference_stats"]["compute_infer"]["ns"] > 0
    assert after["last_inference"] > 1_700_000_000_000


def test_config_and_index(client: http.InferenceServerClient, called: Called) -> None:
    """The configuration and the repository's index tell the live version."""
    config = client.get_model_config("frame", "1", headers=called.headers)
    types = {one["name"]: one["data_type"] for one in config["input"]}
    assert (types["amount"], types["city"], types["member"]) == (
        "TYPE_FP64", "TYPE_STRING", "TYPE_BOOL",
    )  # fmt: skip
    index = client.get_model_repository_index(headers=called.headers)
    assert {"name": "numbers", "version": "1", "state": "READY", "reason": ""} in index


def test_what_is_not_offered(client: http.InferenceServerClient, called: Called) -> None:
    """Loading, tracing, logging and shared memory are refused in words, not by silence."""
    headers = called.headers
    with pytest.raises(InferenceServerException, match="promoted through the registry"):
        client.load_model("frame", headers=headers)
    with pytest.raises(InferenceServerException, match="promoted through the registry"):
        client.unload_model("frame", headers=headers)
    for ask in (client.get_trace_settings, client.get_log_settings):
        with pytest.raises(InferenceServerException, match="has no such settings"):
            ask(headers=headers)
    with pytest.raises(InferenceServerException, match="has no such settings"):
        client.get_system_shared_memory_status(headers=headers)
    tensor = http.InferInput("rows", [1, 5], "FP64")
    tensor.set_shared_memory("region", 40)
    with pytest.raises(InferenceServerException, match="shared memory"):
        client.infer("numbers", [tensor], headers=headers)


def test_only_with_a_key(client: http.InferenceServerClient, called: Called) -> None:
    """Whatever this client can ask, but for health, needs a key."""
    for ask in (
        client.get_server_metadata,
        client.get_inference_statistics,
        client.get_model_repository_index,
        client.get_log_settings,
        lambda: client.get_model_config("frame"),
        lambda: client.load_model("frame"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            ask()
        assert caught.value.status() == "401"
