"""tritonclient over gRPC, as it is: the blocking client and the one for asyncio."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving_rig import MODEL, MemoryRouting, World, eventually, make_key, running
from tests.triton_grpc import aio, triton
from tritonclient.utils import InferenceServerException

from shipway.serving.rpc.options import GrpcOptions

KEY, RECORD = make_key()
HEADERS = {"authorization": f"Bearer {KEY}"}
CITIES = np.array(["EWR", "JFK", "EWR"], dtype=np.object_)
DISTANCES = np.array([0.0, 250.5, 999.0])
SCORES = (DISTANCES / 1000).tolist()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker that asks for a key."""
    run = tmp_path_factory.mktemp("run")
    routing = MemoryRouting(keys=[RECORD])
    with running(run, routing=routing, authentication=True, grpc=GrpcOptions()) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


@pytest.fixture(scope="module")
def client(locked: World) -> Iterator[triton.InferenceServerClient]:
    """tritonclient.grpc."""
    made = triton.InferenceServerClient(locked.grpc)
    yield made
    made.close()


def inputs(**other: tuple[str, NDArray[np.generic]]) -> list[triton.InferInput]:
    """Three rows, some columns of another datatype."""
    rows = len(CITIES)
    columns: dict[str, tuple[str, NDArray[np.generic]]] = {
        "city": ("BYTES", CITIES),
        "distance": ("FP64", DISTANCES),
        "hour": ("INT64", np.full(rows, 7)),
        "rain": ("BOOL", np.array([True, False, True])),
    }
    made = []
    for name, (datatype, array) in (columns | other).items():
        tensor = triton.InferInput(name, [rows], datatype)
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def infer(client: triton.InferenceServerClient, given: list[Any], **extra: Any) -> Any:
    return client.infer(MODEL, given, headers=HEADERS, **extra)


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    """It finds the server and the model alive and ready, and reads what the model takes."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL, headers=HEADERS)
    assert client.is_model_ready(MODEL, "1", headers=HEADERS)
    assert not client.is_model_ready("nope", headers=HEADERS)
    assert not client.is_model_ready(MODEL, "2", headers=HEADERS)
    assert client.get_server_metadata(headers=HEADERS, as_json=True)["name"] == "shipway"
    metadata = client.get_model_metadata(MODEL, headers=HEADERS)
    assert [one.datatype for one in metadata.inputs] == ["BYTES", "FP64", "INT64", "BOOL"]


def test_configuration_index_and_statistics(client: triton.InferenceServerClient) -> None:
    """It reads the extensions of Triton that tell something, and sees its own requests counted."""
    config = client.get_model_config(MODEL, headers=HEADERS, as_json=True)["config"]
    assert config["name"] == MODEL
    assert [one["data_type"] for one in config["output"]] == [
        "TYPE_INT64", "TYPE_FP64", "TYPE_STRING"
    ]  # fmt: skip
    index = client.get_model_repository_index(headers=HEADERS)
    assert [(one.name, one.version, one.state) for one in index.models] == [(MODEL, "1", "READY")]

    def counted() -> int:
        stats = client.get_inference_statistics(MODEL, headers=HEADERS)
        return int(stats.model_stats[0].inference_count)

    before = counted()
    infer(client, inputs())
    eventually(lambda: counted() == before + 3)
    assert len(client.get_inference_statistics(headers=HEADERS).model_stats) == 1


def test_infer(client: triton.InferenceServerClient) -> None:
    """Text, numbers and booleans go in, and scores, labels and ids come out."""
    result = infer(client, inputs(), request_id="r", model_version="1", client_timeout=20)
    assert result.as_numpy("score").tolist() == SCORES
    assert result.as_numpy("label").tolist() == [0, 0, 1]
    assert result.as_numpy("prediction_id").tolist() == [b"r:0", b"r:1", b"r:2"]
    assert result.get_response().id == "r"


@pytest.mark.parametrize(
    ("datatype", "array"),
    [
        ("INT8", np.array([7, -8, 9], dtype=np.int8)),
        ("UINT8", np.array([7, 200, 9], dtype=np.uint8)),
        ("INT16", np.array([7, -800, 9], dtype=np.int16)),
        ("UINT64", np.array([7, 2**40, 9], dtype=np.uint64)),
        ("FP16", np.array([7, 8, 9], dtype=np.float16)),
        ("BF16", np.array([7, 8, 9], dtype=ml_dtypes.bfloat16)),
        ("FP32", np.array([7, 8, 9], dtype=np.float32)),
    ],
)
def test_datatypes(
    client: triton.InferenceServerClient, datatype: str, array: NDArray[np.generic]
) -> None:
    """Whole numbers may come in any datatype that the client knows, half precision included."""
    result = infer(client, inputs(hour=(datatype, array)))
    assert result.as_numpy("score").tolist() == SCORES


def test_a_missing_number(client: triton.InferenceServerClient) -> None:
    """NaN is a missing number where the contract allows it."""
    given = np.array([np.nan, 250.5, 999.0])
    result = infer(client, inputs(distance=("FP64", given)))
    assert result.as_numpy("score").tolist() == [0.0, *SCORES[1:]]


def test_requested_outputs(client: triton.InferenceServerClient) -> None:
    """Only what is asked for comes."""
    result = infer(client, inputs(), outputs=[triton.InferRequestedOutput("score")])
    assert result.as_numpy("score").tolist() == SCORES
    assert result.as_numpy("label") is None


def test_shared_inputs(client: triton.InferenceServerClient) -> None:
    """The same input objects serve many requests at once."""
    given = inputs()
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    for _ in range(20):
        client.async_infer(
            MODEL, given, lambda result, error: done.put((result, error)), headers=HEADERS
        )
    for _ in range(20):
        result, error = done.get(timeout=20)
        assert error is None
        assert result.as_numpy("score").tolist() == SCORES


def test_errors(client: triton.InferenceServerClient) -> None:
    """It reads our errors, and their status."""
    with pytest.raises(InferenceServerException, match="Request for unknown model") as caught:
        client.get_model_metadata("nope", headers=HEADERS)
    assert caught.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException, match="no key came with the request"):
        client.get_model_metadata(MODEL)
    with pytest.raises(InferenceServerException, match="breaks the data contract"):
        infer(client, inputs()[:2])


def test_what_is_not_offered(client: triton.InferenceServerClient) -> None:
    """What this server does not do is refused in words, and does not hang."""
    for change in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="shipway promote"):
            change(MODEL, headers=HEADERS)
    for ask in (
        client.get_log_settings,
        client.get_trace_settings,
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
    ):
        with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
            ask(headers=HEADERS)


def test_no_shared_memory(client: triton.InferenceServerClient) -> None:
    """An input in shared memory is refused, and told to be sent."""
    given = inputs()
    given[1].set_shared_memory("region", 24)
    with pytest.raises(InferenceServerException, match="send its values"):
        infer(client, given)


def test_no_stream(client: triton.InferenceServerClient) -> None:
    """A stream of requests is refused with what to call instead."""
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: done.put((result, error)), headers=HEADERS)
    client.async_stream_infer(MODEL, inputs())
    _, error = done.get(timeout=20)
    assert "call ModelInfer" in str(error)
    client.stop_stream()


def with_aio(world: World, what: Callable[[aio.InferenceServerClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with aio.InferenceServerClient(world.grpc) as opened:
            await what(opened)

    asyncio.run(run())


def test_aio(locked: World) -> None:
    """The client for asyncio asks the same and is told the same."""

    async def what(opened: aio.InferenceServerClient) -> None:
        assert await opened.is_server_live()
        assert await opened.is_server_ready()
        assert await opened.is_model_ready(MODEL, headers=HEADERS)
        metadata = await opened.get_model_metadata(MODEL, headers=HEADERS, as_json=True)
        assert metadata["name"] == MODEL
        config = await opened.get_model_config(MODEL, headers=HEADERS)
        assert config.config.name == MODEL
        stats = await opened.get_inference_statistics(MODEL, headers=HEADERS)
        assert stats.model_stats[0].name == MODEL
        index = await opened.get_model_repository_index(headers=HEADERS)
        assert index.models[0].name == MODEL
        given = inputs()
        results = await asyncio.gather(
            *(opened.infer(MODEL, given, headers=HEADERS) for _ in range(20))
        )
        assert all(one.as_numpy("score").tolist() == SCORES for one in results)
        with pytest.raises(InferenceServerException, match="no key came"):
            await opened.infer(MODEL, given)

    with_aio(locked, what)


def test_aio_stream(locked: World) -> None:
    """A stream of the client for asyncio ends with what to call instead."""

    async def what(opened: aio.InferenceServerClient) -> None:
        async def asked() -> Any:
            yield {"model_name": MODEL, "inputs": inputs()}

        with pytest.raises(grpc.RpcError, match="call ModelInfer"):
            async for _ in opened.stream_infer(asked(), headers=HEADERS):
                pass

    with_aio(locked, what)
