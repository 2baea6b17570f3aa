"""What a careful person writes in an hour: FastAPI in front of onnxruntime.

It takes the same requests as Shipway and does less: no key, no contract, no events, no metrics.
Run as ``python fastapi_server.py MODEL.onnx FILE``: the port goes into FILE. Needs ``fastapi``,
``uvicorn[standard]`` and ``onnxruntime`` in an environment of its own.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(string)": object,
}
THRESHOLD = 1 / 6


class Tensor(BaseModel):
    """One column."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferRequest(BaseModel):
    """All columns of one request."""

    inputs: list[Tensor]


class InferResponse(BaseModel):
    """A score and a label a row."""

    scores: list[float]
    labels: list[int]


def application(model: str) -> FastAPI:
    """The server of the ONNX file *model*."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {one.name: (DTYPES[one.type], len(one.shape)) for one in session.get_inputs()}
    output = session.get_outputs()[-1].name
    app = FastAPI()

    @app.post("/infer")
    async def infer(request: InferRequest) -> InferResponse:
        feeds = {}
        for tensor in request.inputs:
            if tensor.name in inputs:
                dtype, dimensions = inputs[tensor.name]
                array = np.array(tensor.data, dtype=dtype)
                feeds[tensor.name] = array.reshape(-1, 1) if dimensions == 2 else array
        scores = session.run([output], feeds)[0][:, 1]
        return InferResponse(
            scores=scores.tolist(), labels=(scores >= THRESHOLD).astype(int).tolist()
        )

    return app


def main() -> None:
    """Serve on a free port of the loopback."""
    app = application(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        Path(sys.argv[2]).write_text(str(listening.getsockname()[1]))
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
