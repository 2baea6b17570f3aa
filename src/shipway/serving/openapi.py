"""The OpenAPI 3.1 document of the data plane as it stands: its routes, for the models it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shipway import __version__
from shipway.serving.http.limits import Limits
from shipway.serving.openapi_schemas import (
    ERROR,
    ID,
    PARAMETERS,
    RowSchemas,
    Schema,
    label_schema,
)
from shipway.serving.protocols.invocations import FIELDS
from shipway.serving.routing import Served

_JSON = "application/json"
_OBJECT: Schema = {"type": "object"}


def document(
    served: Mapping[str, Served], limits: Limits, *, authentication: bool = True
) -> dict[str, Any]:
    """The document for the models in *served*, by the names that clients use."""
    paths = _server_paths()
    for name, one in served.items():
        paths |= _model_paths(name, one)
    if len({id(one.predictor) for one in served.values()}) == 1:
        paths["/invocations"] = {"post": _invocations(next(iter(served.values())))}
    told: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Shipway predictions",
            "version": __version__,
            "description": _description(limits),
        },
        "paths": paths,
        "components": {"schemas": {"Error": ERROR}},
    }
    if authentication:
        told["security"] = [{"key": []}]
        scheme = {"type": "http", "scheme": "bearer", "description": "X-API-Key does as well."}
        told["components"]["securitySchemes"] = {"key": scheme}
    return told


def _description(limits: Limits) -> str:
    return (
        "Predictions in the Open Inference Protocol v2, KServe v1, MLflow's and SageMaker's forms."
        f" A body has at most {limits.max_body_bytes} bytes after decompression, JSON nests at most"
        f" {limits.max_json_depth} deep, and a request holds at most {limits.max_elements} values."
        " NaN and Infinity are no JSON and are refused; null is a missing value. In binary tensors"
        " NaN is a missing value and an infinite number is refused."
    )


def _server_paths() -> dict[str, Any]:
    live: Schema = {"type": "object", "properties": {"live": {"const": True}}, "required": ["live"]}
    ready: Schema = {
        "type": "object", "properties": {"ready": {"const": True}}, "required": ["ready"],
    }  # fmt: skip
    paths = {
        path: _get("Liveness", live, open_to_all=True) for path in ("/livez", "/v2/health/live")
    }
    for path in ("/readyz", "/v2/health/ready", "/ping", "/health"):
        paths[path] = _get("Readiness", ready, open_to_all=True)
    names: Schema = {
        "type": "object",
        "properties": {"models": {"type": "array", "items": {"type": "string"}}},
        "required": ["models"],
    }
    paths["/v1/models"] = _get("The models, as KServe v1 lists them", names)
    paths["/v2"] = _get("Name, version and extensions", _OBJECT)
    paths["/v2/models/stats"] = _get("Statistics of every model, as Triton has them", _OBJECT)
    index = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    paths["/v2/repository/index"] = {
        "post": _operation(
            "The models, as Triton lists them",
            {"type": "array", "items": _OBJECT},
            body={"schema": index, "example": {}},
            body_needed=False,
        )
    }
    return paths


def _model_paths(name: str, served: Served) -> dict[str, Any]:
    version = served.predictor.served
    ready: Schema = {
        "type": "object",
        "properties": {"name": {"const": name}, "ready": {"type": "boolean"}},
        "required": ["name", "ready"],
    }
    paths: dict[str, Any] = {f"/v1/models/{name}": _get("Whether the model is ready", ready)}
    infer, predict = _infer(served), _predict(served)
    for stem in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version.number}"):
        paths[stem] = _get("Inputs, outputs and labels", _OBJECT)
        paths[f"{stem}/ready"] = _get("Whether the model is ready", ready)
        paths[f"{stem}/config"] = _get("Configuration, as Triton has it", _OBJECT)
        paths[f"{stem}/stats"] = _get("Statistics, as Triton has them", _OBJECT)
        paths[f"{stem}/infer"] = {"post": infer}
    for stem in (f"/v1/models/{name}", f"/v1/models/{name}/versions/{version.number}"):
        paths[f"{stem}:predict"] = {"post": predict}
    return paths


def _infer(served: Served) -> Schema:
    rows = RowSchemas(served.predictor.served.contract)
    outputs = ["label", _score_output(served), "prediction_id"]
    wanted: Schema = {
        "type": "object",
        "properties": {
            "name": {"enum": outputs},
            "parameters": {"type": ["object", "null"]},
        },
        "required": ["name"],
    }
    schema: Schema = {
        "type": "object",
        "properties": {
            "id": ID,
            "inputs": rows.tensors(),
            "outputs": {"type": ["array", "null"], "items": wanted},
            "parameters": {"type": ["object", "null"]},
        },
        "required": ["inputs"],
    }
    tensor: Schema = {
        "type": "object",
        "properties": {
            "name": {"enum": outputs},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array"},
        },
        "required": ["name", "datatype", "shape"],
    }
    answer: Schema = {
        "type": "object",
        "properties": {
            "model_name": {"const": served.predictor.served.model},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
        "required": ["model_name", "model_version", "id", "outputs"],
    }
    operation = _operation(
        "Predictions in the Open Inference Protocol v2",
        answer,
        body={"schema": schema, "example": {"inputs": rows.example_tensors()}},
        description="Tensors may follow the JSON in binary (application/octet-stream with"
        " Inference-Header-Content-Length); with a length of 0 the body is the one input's bytes."
        " parameters: timeout (microseconds), binary_data_output, content_type.",
    )
    operation["responses"]["200"]["content"]["application/octet-stream"] = {
        "schema": {"type": "string", "format": "binary"}
    }
    return operation


def _score_output(served: Served) -> str:
    rule = served.predictor.rule
    return "probabilities" if rule.width is not None and rule.positive is None else "score"


def _predict(served: Served) -> Schema:
    rows = RowSchemas(served.predictor.served.contract)
    forms = {"instances": rows.rows(), "inputs": rows.columns()}
    schema = _one_of(forms, {"id": ID, "parameters": PARAMETERS})
    example = {"instances": [rows.example_list()]}
    body = {"schema": schema, "example": example}
    return _operation("Predictions as KServe v1 has them", _predictions(served), body=body)


def _invocations(served: Served) -> Schema:
    rows = RowSchemas(served.predictor.served.contract)
    schemas = (rows.split(), rows.rows(), rows.rows(), rows.columns())
    forms = dict(zip(FIELDS, schemas, strict=True))
    schema = _one_of(forms, {"id": ID, "params": PARAMETERS})
    example = {"dataframe_records": [rows.record()["examples"][0]]}
    return _operation(
        "Predictions as MLflow and SageMaker have them",
        _predictions(served),
        body={"schema": schema, "example": example},
        description="CSV is taken as well (text/csv), with the columns' names in its first line:"
        f"\n\n```\n{rows.example_csv()}```",
    )


def _one_of(forms: Mapping[str, Schema], further: Mapping[str, Schema]) -> Schema:
    """An object with exactly one of *forms*."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    **{other: False for other in forms if other != name},
                    name: form,
                    **further,
                },
                "required": [name],
            }
            for name, form in forms.items()
        ]
    }


def _predictions(served: Served) -> Schema:
    version, rule = served.predictor.served, served.predictor.rule
    label = label_schema(list(version.spec.classes))
    score: Schema = {"type": "number"}
    if rule.width is not None and rule.positive is None:
        score = {"type": "array", "items": {"type": "number"}}
    return {
        "type": "object",
        "properties": {
            "predictions": {"type": "array", "items": {"anyOf": [label, score, _OBJECT]}},
            "model_name": {"const": version.model},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "prediction_ids": {"type": "array", "items": {"type": "string"}},
            "scores": {"type": "array", "items": {"type": "number"}},
            "probabilities": {"type": "array", "items": score},
            "warnings": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "required": ["predictions", "model_name", "model_version", "id", "prediction_ids"],
    }


def _get(summary: str, schema: Schema, *, open_to_all: bool = False) -> dict[str, Any]:
    operation = _operation(summary, schema)
    if open_to_all:
        operation["security"] = []
    return {"get": operation}


def _operation(
    summary: str,
    schema: Schema,
    *,
    body: Schema | None = None,
    body_needed: bool = True,
    description: str = "",
) -> Schema:
    error = {"content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
    operation: Schema = {
        "summary": summary,
        "responses": {
            "200": {"description": "The answer", "content": {_JSON: {"schema": schema}}},
            "4XX": {"description": "The request is at fault, or not allowed", **error},
            "5XX": {"description": "The server cannot answer it now", **error},
        },
    }
    if description:
        operation["description"] = description
    if body is not None:
        operation["requestBody"] = {"required": body_needed, "content": {_JSON: body}}
    return operation
