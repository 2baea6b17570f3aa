"""The KServe SDK's REST client, as it is installed, in both of its protocols."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tests.clients.conftest import Called
from tests.frames_rig import DATATYPES, FRAME, as_records, as_rows

from shipway.domain.model import Kind


async def ask(
    called: Called, protocol: str, data: Any, model: str = "frame", verb: str = "infer"
) -> Any:
    """What the client makes of the answer to *data*."""
    async with InferenceRESTClient(RESTConfig(protocol=protocol, retries=0)) as client:
        asking = client.infer if verb == "infer" else client.explain
        return await asking(
            f"http://{called.address}", data=data, model_name=model, headers=called.headers
        )


def test_v1(called: Called) -> None:
    """Lists and records of instances get labels as predictions, with ids and scores beside them."""
    names = [column.name for column in FRAME.features]
    for instances in (as_rows(called.cells, names), as_records(called.cells)):
        told = asyncio.run(ask(called, "v1", {"instances": instances, "id": "b-1"}))
        assert told["predictions"] == called.told.labels
        assert told["scores"] == called.told.scores
        assert told["prediction_ids"][1] == "b-1:1"
    wished = {"instances": as_records(called.cells), "parameters": {"prediction": "score"}}
    assert asyncio.run(ask(called, "v1", wished))["predictions"] == called.told.scores


@pytest.mark.parametrize("binary", [False, True])
def test_v2(called: Called, binary: bool) -> None:
    """An InferRequest of a frame, in JSON or in binary, gets an InferResponse with its scores."""
    inputs = []
    for column in FRAME.features:
        values = called.cells[column.name]
        tensor = InferInput(column.name, [len(values)], DATATYPES[column.kind], data=values)
        if binary and column.kind is Kind.NUMBER:
            array = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
            tensor = InferInput(column.name, [len(values)], "FP64")
            tensor.set_data_from_numpy(array, binary_data=True)
        inputs.append(tensor)
    request = InferRequest(model_name="frame", infer_inputs=inputs, request_id="b-2")
    told = asyncio.run(ask(called, "v2", request))
    outputs = {one.name: one for one in told.outputs}
    assert told.id == "b-2"
    assert outputs["score"].as_numpy().tolist() == called.told.scores
    assert outputs["label"].as_numpy().tolist() == called.told.labels


def test_readiness(called: Called) -> None:
    """The client finds the server and the model, in either protocol, and no other model."""

    async def look() -> None:
        url, headers = f"http://{called.address}", called.headers
        async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
            assert await client.is_server_ready(url)
            assert await client.is_server_live(url)
            assert await client.is_model_ready(url, "frame", headers=headers)
            assert not await client.is_model_ready(url, "nope", headers=headers)
        async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
            assert await client.is_server_live(url)
            assert await client.is_model_ready(url, "frame", headers=headers)

    asyncio.run(look())


def test_errors(called: Called) -> None:
    """The client reads our errors: an unknown model, a broken contract, no explanations."""
    rows = {"instances": [[1]]}
    for model, verb, words in (
        ("nope", "infer", "Request for unknown model"),
        ("frame", "infer", "a row of 1 values where 10 are due"),
        ("frame", "explain", "explanations are not offered"),
    ):
        with pytest.raises(httpx.HTTPStatusError, match=words):
            asyncio.run(ask(called, "v1", rows, model, verb))
