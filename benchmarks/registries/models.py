"""The model files that are published: small ONNX models, each with weights of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

_WIDTH = 12_500
"""Weights of 4 bytes: about 50 kB a model, as those of a few hundred trees."""


def make(folder: Path, count: int) -> list[str]:
    """*count* files in *folder*, which is made; their names."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    names = [f"model-{index:03d}.onnx" for index in range(count)]
    for name in names:
        weights = chance.normal(size=(1, _WIDTH)).astype(np.float32)
        graph = helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["wide"]),
                helper.make_node("ReduceSum", ["wide"], ["y"], keepdims=1),
            ],
            "measured",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(weights, "w")],
        )
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), folder / name)
    return names
