"""What the Open Inference Protocol tells about a version: its inputs, its outputs, its labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shipway.contract.schema import Column, Role
from shipway.domain.events import Scalar
from shipway.domain.model import DATATYPE_OF
from shipway.domain.text import text_of
from shipway.inference.decision import DecisionRule
from shipway.inference.predictor import ServedVersion
from shipway.serving.protocols.oip import ModelMetadata, TensorMetadata, encode


def model_metadata(
    served: ServedVersion, rule: DecisionRule, datatypes: Mapping[str, str]
) -> bytes:
    """The body of ``GET /v2/models/{model}``; *datatypes* are those of the outputs."""
    optional = [
        column.name for column in served.contract.request_columns if column.role is not Role.FEATURE
    ]
    outputs = [
        TensorMetadata(name, datatype, [-1] if name != "probabilities" else [-1, len(rule.values)])
        for name, datatype in datatypes.items()
    ]
    outputs[0].parameters = _label_parameters(served, rule)
    described: dict[str, Scalar] = {"task": served.spec.task.value, "digest": served.digest}
    if optional:
        described["optional_inputs"] = ",".join(optional)
    return encode(
        ModelMetadata(
            name=served.model,
            versions=[str(served.number)],
            platform=f"shipway_{served.spec.format}",
            inputs=[_input(column) for column in served.contract.features],
            outputs=outputs,
            parameters=described,
        )
    )


def _label_parameters(served: ServedVersion, rule: DecisionRule) -> dict[str, Scalar]:
    if rule.width is None:
        return {}
    texts = [text_of(value) for value in served.spec.classes]
    told: dict[str, Scalar] = {"classes": ",".join(texts)}
    if rule.positive is not None:
        told |= {"positive": texts[rule.positive], "threshold": rule.threshold}
    return told


def _input(column: Column) -> TensorMetadata:
    told: dict[str, Scalar] = {"kind": column.kind.value, "nullable": column.nullable}
    if isinstance(column.example, float) and not np.isfinite(column.example):
        return TensorMetadata(column.name, DATATYPE_OF[column.kind], [-1], told)
    if column.example is not None:
        told["example"] = column.example
    return TensorMetadata(column.name, DATATYPE_OF[column.kind], [-1], told)
