"""What kserve's gRPC client is told by the server at ``argv[1]``, with the key ``argv[2]``.

In a process of its own: kserve and tritonclient both register the package ``inference``, and
protobuf has one registry a process.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelMetadataRequest, ServerMetadataRequest

MODEL = "late"
COLUMNS = (
    ("city", "BYTES", np.array(["EWR", "JFK"], dtype=np.object_)),
    ("distance", "FP64", np.array([100.0, 900.0])),
    ("hour", "INT64", np.array([7, 8])),
    ("rain", "BOOL", np.array([True, False])),
)


def request(*, binary: bool) -> InferRequest:
    """Two rows, typed or raw."""
    inputs = []
    for name, datatype, values in COLUMNS:
        tensor = InferInput(name=name, shape=[2], datatype=datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name=MODEL, infer_inputs=inputs, request_id="k")


async def told(target: str, key: str) -> dict[str, Any]:
    """What the client is told."""
    headers = (("authorization", f"Bearer {key}"),)
    client = InferenceGRPCClient(url=target)
    found: dict[str, Any] = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model": await client.is_model_ready(MODEL, headers=headers),
        "nope": await client.is_model_ready("nope", headers=headers),
    }
    for binary in (False, True):
        answer = await client.infer(request(binary=binary), headers=headers)
        found[f"scores-{binary}"] = answer.get_output_by_name("score").as_numpy().tolist()
        found[f"id-{binary}"] = answer.id
    try:
        await client.infer(request(binary=False))
    except Exception as error:
        found["refused"] = str(error)
    stub = client._client_stub
    server = await stub.ServerMetadata(ServerMetadataRequest(), metadata=headers)
    metadata = await stub.ModelMetadata(ModelMetadataRequest(name=MODEL), metadata=headers)
    found["server"] = server.name
    found["inputs"] = [tensor.name for tensor in metadata.inputs]
    await client.close()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(told(sys.argv[1], sys.argv[2]))))  # noqa: T201
