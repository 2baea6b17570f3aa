"""A client that others wrote, unmodified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving_rig import MemoryRouting, World, eventually, make_key, running
from tritonclient import http
from tritonclient.utils import InferenceServerException

KEY, RECORD = make_key()
CITIES = np.array(["EWR", "JFK", "Zürich"], dtype=np.object_)
DISTANCES = np.array([0.0, 250.5, 999.0])


def headers() -> dict[str, str]:
    """A new dict each time: the client adds headers of the request to the dict that it is given."""
    return {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker that asks for a key."""
    routing = MemoryRouting(keys=[RECORD])
    run: Path = tmp_path_factory.mktemp("run")
    with running(run, routing=routing, authentication=True) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


@pytest.fixture
def client(locked: World) -> Iterator[http.InferenceServerClient]:
    """tritonclient.http."""
    made = http.InferenceServerClient(f"127.0.0.1:{locked.port}")
    yield made
    made.close()


def inputs(*, binary: bool) -> list[http.InferInput]:
    rows = len(CITIES)
    arrays: list[tuple[str, str, NDArray[np.generic]]] = [
        ("city", "BYTES", CITIES),
        ("distance", "FP64", DISTANCES),
        ("hour", "INT64", np.full(rows, 7)),
        ("rain", "BOOL", np.array([True, False, True])),
    ]
    made = []
    for name, datatype, array in arrays:
        tensor = http.InferInput(name, [rows], datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made


def test_health_and_metadata(client: http.InferenceServerClient) -> None:
    """The client finds the server and the model alive and ready, and reads what it takes."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("late", headers=headers())
    assert client.is_model_ready("late", "1", headers=headers())
    assert not client.is_model_ready("nope", headers=headers())
    assert client.get_server_metadata(headers=headers())["name"] == "shipway"
    metadata = client.get_model_metadata("late", headers=headers())
    assert [one["datatype"] for one in metadata["inputs"]] == ["BYTES", "FP64", "INT64", "BOOL"]


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("outputs", ["default", "json", "binary"])
def test_infer(client: http.InferenceServerClient, binary_in: bool, outputs: str) -> None:
    """JSON and binary tensors give the same answers in every mixture."""
    wanted = None
    if outputs != "default":
        wanted = [
            http.InferRequestedOutput(name, binary_data=outputs == "binary")
            for name in ("score", "label", "prediction_id")
        ]
    result = client.infer(
        "late", inputs(binary=binary_in), request_id="r", outputs=wanted, headers=headers()
    )
    assert result.as_numpy("score").tolist() == (DISTANCES / 1000).tolist()
    assert result.as_numpy("label").tolist() == [0, 0, 1]
    ids = result.as_numpy("prediction_id").tolist()
    assert [one.decode() if isinstance(one, bytes) else one for one in ids] == ["r:0", "r:1", "r:2"]


def test_errors(client: http.InferenceServerClient) -> None:
    """The client understands our errors."""
    with pytest.raises(InferenceServerException, match="Request for unknown model"):
        client.get_model_metadata("nope", headers=headers())
    with pytest.raises(InferenceServerException, match="no key came with the request"):
        client.get_model_metadata("late")
    with pytest.raises(InferenceServerException, match="breaks the data contract"):
        client.infer("late", inputs(binary=False)[:2], headers=headers())
