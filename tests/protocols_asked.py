"""Every form in which a REST protocol takes rows, as a function from columns to what was told."""

from __future__ import annotations

import csv
import io
import json
import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.frames_rig import (
    DATATYPES,
    Asking,
    Cells,
    Told,
    as_records,
    as_rows,
)

from shipway.contract.schema import Contract
from shipway.domain.model import Kind

# ---- the Open Inference Protocol --------------------------------------------------------------


def tensors(contract: Contract, cells: Cells, **changes: Any) -> list[dict[str, Any]]:
    """One input a column, in JSON."""
    kinds = contract.kinds
    return [
        {"name": n, "shape": [len(v)], "datatype": DATATYPES[kinds[n]], "data": v, **changes}
        for n, v in cells.items()
    ]


def outputs(response: Any) -> Told:
    """The outputs of an answer, in JSON or in binary."""
    assert response.status_code == 200, response.text
    length = response.headers.get("inference-header-content-length")
    body = response.content
    told = json.loads(body if length is None else body[: int(length)])
    rest = b"" if length is None else body[int(length) :]
    found: dict[str, Any] = {}
    for one in told["outputs"]:
        if "data" in one:
            values = one["data"]
        else:
            size = one["parameters"]["binary_data_size"]
            values, rest = _from_binary(one["datatype"], rest[:size]), rest[size:]
        shape = one["shape"]
        found[one["name"]] = (
            [values[at : at + shape[1]] for at in range(0, len(values), shape[1])]
            if len(shape) == 2
            else values
        )
    assert rest == b""
    return Told(found["label"], found.get("score") or found["probabilities"])


def _from_binary(datatype: str, blob: bytes) -> list[Any]:
    if datatype == "BOOL":
        return [bool(byte) for byte in blob]
    if datatype != "BYTES":
        return list(np.frombuffer(blob, {"FP64": "<f8", "INT64": "<i8"}[datatype]).tolist())
    values = []
    while blob:
        (size,) = struct.unpack("<I", blob[:4])
        values.append(blob[4 : 4 + size].decode())
        blob = blob[4 + size :]
    return values


def _to_binary(kind: Kind, values: list[Any]) -> bytes:
    if kind is Kind.BOOLEAN:
        return bytes(values)
    if kind is Kind.INTEGER:
        return np.array(values, "<i8").tobytes()
    if kind is Kind.NUMBER:
        return np.array([np.nan if v is None else v for v in values], "<f8").tobytes()
    texts = [value.encode() for value in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def with_binary(contract: Contract, cells: Cells, **extra: Any) -> tuple[bytes, int]:
    """Binary tensors where a column has a binary form of what it holds, else JSON."""
    made, blobs = [], []
    for one in tensors(contract, cells):
        kind = contract.kinds[one["name"]]
        if kind is Kind.NUMBER or None not in one["data"]:
            blobs.append(_to_binary(kind, one.pop("data")))
            one["parameters"] = {"binary_data_size": len(blobs[-1])}
        made.append(one)
    head = json.dumps({"inputs": made, **extra}).encode()
    return head + b"".join(blobs), len(head)


def oip_flat(asking: Asking, contract: Contract, cells: Cells) -> Told:
    return outputs(asking.post(infer(contract), {"inputs": tensors(contract, cells)}))


def oip_nested(asking: Asking, contract: Contract, cells: Cells) -> Told:
    made = tensors(contract, cells)
    for one in made:
        one["shape"] = [len(one["data"]), 1]
        one["data"] = [[value] for value in one["data"]]
    return outputs(asking.post(infer(contract), {"inputs": made}))


def oip_binary(asking: Asking, contract: Contract, cells: Cells) -> Told:
    body, length = with_binary(contract, cells, parameters={"binary_data_output": True})
    headers = {"inference_header_content_length": str(length)}
    return outputs(asking.post(infer(contract), body, **headers))


def oip_binary_in_json_out(asking: Asking, contract: Contract, cells: Cells) -> Told:
    body, length = with_binary(contract, cells)
    kind = "application/octet-stream"
    headers = {"inference_header_content_length": str(length)}
    return outputs(asking.post(infer(contract), body, kind=kind, **headers))


def oip_data_frame(asking: Asking, contract: Contract, cells: Cells) -> Told:
    made = tensors(contract, cells)
    for one in made:
        kind = contract.kinds[one["name"]]
        if kind is Kind.STRING:
            one["parameters"] = {"content_type": "base64"}
            one["data"] = [v if v is None else b64encode(v.encode()).decode() for v in one["data"]]
        elif kind in (Kind.DATE, Kind.TIMESTAMP):
            one["parameters"] = {"content_type": "datetime"}
        else:
            one["parameters"] = {"content_type": "np"}
    body = {"parameters": {"content_type": "pd"}, "inputs": made}
    return outputs(asking.post(infer(contract), body))


def infer(contract: Contract) -> str:
    return f"/v2/models/{contract.model}/infer"


# ---- predictions ------------------------------------------------------------------------------


def predictions(response: Any) -> Told:
    """The predictions of an answer and the scores beside them."""
    assert response.status_code == 200, response.text
    told = response.json()
    told = told.get("data", told)
    return Told(told["predictions"], told.get("scores") or told["probabilities"])


def predict(contract: Contract) -> str:
    return f"/v1/models/{contract.model}:predict"


def v1_lists(asking: Asking, contract: Contract, cells: Cells) -> Told:
    names = [column.name for column in contract.features]
    return predictions(asking.post(predict(contract), {"instances": as_rows(cells, names)}))


def v1_records(asking: Asking, contract: Contract, cells: Cells) -> Told:
    records = [{k: v for k, v in row.items() if v is not None} for row in as_records(cells)]
    return predictions(asking.post(predict(contract), {"instances": records}))


def v1_columns(asking: Asking, contract: Contract, cells: Cells) -> Told:
    return predictions(asking.post(predict(contract), {"inputs": cells}))


def v1_event(asking: Asking, contract: Contract, cells: Cells) -> Told:
    data = {"instances": as_records(cells)}
    event = {"specversion": "1.0", "id": "e", "source": "s", "type": "t", "data": data}
    kind = "application/cloudevents+json"
    return predictions(asking.post(predict(contract), event, kind=kind))


def mlflow_split(asking: Asking, contract: Contract, cells: Cells) -> Told:
    names = list(reversed(cells))
    data = as_rows(cells, names)
    split = {"columns": names, "index": [*range(len(data))], "data": data}
    return predictions(asking.post("/invocations", {"dataframe_split": split}))


def mlflow_records(asking: Asking, contract: Contract, cells: Cells) -> Told:
    return predictions(asking.post("/invocations", {"dataframe_records": as_records(cells)}))


def mlflow_inputs(asking: Asking, contract: Contract, cells: Cells) -> Told:
    return predictions(asking.post("/invocations", {"inputs": cells, "params": {}}))


def mlflow_csv(asking: Asking, contract: Contract, cells: Cells) -> Told:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([list(cells), *as_rows(cells, list(cells))])
    kind = "text/csv; charset=utf-8"
    return predictions(asking.post("/invocations", text.getvalue().encode(), kind=kind))


def sagemaker_csv(asking: Asking, contract: Contract, cells: Cells) -> Told:
    text = io.StringIO(newline="")
    names = [column.name for column in contract.features]
    csv.writer(text).writerows(as_rows(cells, names))
    kind = "text/csv; header=absent"
    return predictions(asking.post("/invocations", text.getvalue().encode(), kind=kind))


def sagemaker_tensors(asking: Asking, contract: Contract, cells: Cells) -> Told:
    body, length = with_binary(contract, cells)
    kind = f"application/vnd.sagemaker-triton.binary+json;json-header-size={length}"
    return outputs(asking.post("/invocations", body, kind=kind))


def sagemaker_oip(asking: Asking, contract: Contract, cells: Cells) -> Told:
    return outputs(asking.post("/invocations", {"inputs": tensors(contract, cells)}))


# ---- matrices ---------------------------------------------------------------------------------


def _flat(cells: Cells) -> tuple[list[Any], list[int]]:
    rows = as_rows(cells, list(cells))
    return [value for row in rows for value in row], [len(rows), len(cells)]


def matrix_flat(asking: Asking, contract: Contract, cells: Cells) -> Told:
    data, shape = _flat(cells)
    one = {"name": "rows", "shape": shape, "datatype": "FP64", "data": data}
    return outputs(asking.post(infer(contract), {"inputs": [one]}))


def matrix_nested(asking: Asking, contract: Contract, cells: Cells) -> Told:
    rows = as_rows(cells, list(cells))
    one = {"name": "rows", "shape": [len(rows), len(cells)], "datatype": "FP64", "data": rows}
    return outputs(asking.post(infer(contract), {"inputs": [one]}))


def matrix_binary(asking: Asking, contract: Contract, cells: Cells) -> Told:
    data, shape = _flat(cells)
    blob = _to_binary(Kind.NUMBER, data)
    parameters = {"binary_data_size": len(blob)}
    one = {"name": "rows", "shape": shape, "datatype": "FP64", "parameters": parameters}
    head = json.dumps({"inputs": [one]}).encode()
    headers = {"inference_header_content_length": str(len(head))}
    return outputs(asking.post(infer(contract), head + blob, **headers))


def matrix_raw(asking: Asking, contract: Contract, cells: Cells) -> Told:
    blob = _to_binary(Kind.NUMBER, _flat(cells)[0])
    headers = {"inference_header_content_length": "0"}
    kind = "application/octet-stream"
    return outputs(asking.post(infer(contract), blob, kind=kind, **headers))


Ask = Callable[[Asking, Contract, Cells], Told]
NAMED: tuple[Ask, ...] = (
    oip_flat, oip_nested, oip_binary, oip_binary_in_json_out, oip_data_frame,
    v1_lists, v1_records, v1_columns, v1_event,
)  # fmt: skip
UNNAMED: tuple[Ask, ...] = (
    mlflow_split, mlflow_records, mlflow_inputs, mlflow_csv,
    sagemaker_csv, sagemaker_tensors, sagemaker_oip,
)  # fmt: skip
MATRICES: tuple[Ask, ...] = (matrix_flat, matrix_nested, matrix_binary, matrix_raw)
