"""One row, one answer over gRPC too: typed, raw and as a matrix, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tests.frames_rig import (
    DATATYPES,
    FRAME,
    NUMBERS,
    Cells,
    FrameRouting,
    Told,
    in_process,
    valid_rows,
)
from tests.grpc_rig import FIELDS, INFER, ask, channel, outputs
from tests.serving_rig import eventually, running
from tests.soak.scale import sized

from shipway.contract.schema import Contract
from shipway.serving.protocols.tensors import write_tensor
from shipway.serving.rpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from shipway.serving.rpc.options import GrpcOptions

ROWS = sized(1_500, 50_000)
CASES = sized(400, 50_000)
LARGEST = 120
NOTHING = {"FP64": np.nan, "INT64": 0, "BOOL": False, "BYTES": ""}
OURS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """A connection to a server of both models."""
    routing = FrameRouting(FRAME, NUMBERS)
    run = tmp_path_factory.mktemp("run")
    with running(run, routing=routing, grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with channel(world.grpc) as opened:
            yield opened


def by_column(contract: Contract, cells: Cells, *, raw: bool) -> ModelInferRequest:
    """One input a column; what is missing is NaN, or named in the input's parameter."""
    request = ModelInferRequest(model_name=contract.model)
    for name, values in cells.items():
        datatype = DATATYPES[contract.kinds[name]]
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        missing = [str(row) for row, value in enumerate(values) if value is None]
        if missing and datatype != "FP64":
            tensor.parameters["nulls"].string_param = ",".join(missing)
        plain: list[Any] = [NOTHING[datatype] if value is None else value for value in values]
        if raw:
            request.raw_input_contents.append(write_tensor(datatype, plain))
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend(value.encode() for value in plain)
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(plain)
    return request


def as_matrix(contract: Contract, cells: Cells) -> ModelInferRequest:
    """All columns in one raw input."""
    matrix = np.array(list(cells.values()), dtype=np.float64).T
    request = ModelInferRequest(model_name=contract.model)
    request.inputs.add(name="rows", datatype="FP64", shape=list(matrix.shape))
    request.raw_input_contents.append(np.ascontiguousarray(matrix).tobytes())
    return request


def told(response: ModelInferResponse) -> Told:
    """Labels and scores, a list a row where there are several."""
    found = outputs(response)
    if "score" in found:
        return Told(found["label"], found["score"])
    (width,) = (one.shape[1] for one in response.outputs if one.name == "probabilities")
    flat = found["probabilities"]
    rows = [flat[at : at + width] for at in range(0, len(flat), width)]
    return Told(found["label"], rows)


@pytest.mark.parametrize(
    ("contract", "form"),
    [(FRAME, "typed"), (FRAME, "raw"), (NUMBERS, "typed"), (NUMBERS, "raw"), (NUMBERS, "matrix")],
    ids=lambda one: getattr(one, "model", one),
)
def test_equal_answers(line: grpc.Channel, contract: Contract, form: str) -> None:
    """Frames with strings, nulls and times, and numbers: each row has the model's own answer."""
    dice = random.Random(f"{contract.model} {form}")
    left = ROWS
    while left > 0:
        rows = min(left, dice.choice([1, 1, 2, dice.randint(3, LARGEST)]))
        left -= rows
        cells = valid_rows(contract, rows, dice, further=False)
        request = (
            as_matrix(contract, cells)
            if form == "matrix"
            else by_column(contract, cells, raw=form == "raw")
        )
        answer = ask(line, INFER, request.SerializeToString())
        assert told(answer.response) == in_process(contract, cells)


def test_whatever_comes_is_no_fault_of_ours(line: grpc.Channel) -> None:
    """Requests with bytes changed, cut or doubled are answered or refused, and never a failure."""
    dice = random.Random(3)
    seen = set()
    for _ in range(CASES):
        contract = dice.choice([FRAME, NUMBERS])
        cells = valid_rows(contract, dice.randint(1, 3), dice, further=False)
        message = bytearray(by_column(contract, cells, raw=dice.random() < 0.5).SerializeToString())
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(message) or 1)
            match dice.randrange(4):
                case 0:
                    message[at : at + 1] = bytes([dice.randrange(256)])
                case 1:
                    del message[at:]
                case 2:
                    message[at:at] = dice.randbytes(dice.randint(1, 9))
                case _:
                    message += message[at:]
        answer = ask(line, INFER, bytes(message))
        assert answer.code not in OURS, (answer.code, answer.details, bytes(message))
        seen.add(answer.code)
    assert {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK} <= seen
