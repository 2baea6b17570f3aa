"""What all peers have in common: an ONNX model in onnxruntime, one thread, and its answers.

A request is a JSON document: ``{"instances": [[…], …]}`` with a row of numbers each, or
``{"columns": {name: […], …}}`` where columns are of different types.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(string)": object,
}


@dataclass(frozen=True)
class Arguments:
    """What a peer is told."""

    model: str
    kind: str
    http_port: int
    grpc_port: int
    folder: str


def arguments() -> Arguments:
    """What this program is told on its command line."""
    model, kind, http_port, grpc_port, folder = sys.argv[1:6]
    return Arguments(model, kind, int(http_port), int(grpc_port), folder)


class Scorer:
    """An open model: a score a row, the probability of the second class."""

    def __init__(self, model: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        inputs = session.get_inputs()
        self._run = session.run
        self._matrix = inputs[0].name
        self._inputs = {one.name: (_DTYPES[one.type], len(one.shape)) for one in inputs}
        self._output = session.get_outputs()[-1].name

    def rows(self, instances: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
        """The scores of rows of numbers."""
        return self._scores({self._matrix: np.asarray(instances, dtype=np.float32)})

    def columns(self, columns: Mapping[str, Any]) -> NDArray[Any]:
        """The scores of columns by name; None is a missing number."""
        feeds = {}
        for name, (dtype, dimensions) in self._inputs.items():
            array = np.asarray(columns[name], dtype=dtype)
            feeds[name] = array.reshape(-1, 1) if dimensions == 2 else array
        return self._scores(feeds)

    def document(self, document: Mapping[str, Any]) -> NDArray[Any]:
        """The scores of one document."""
        if "instances" in document:
            return self.rows(document["instances"])
        return self.columns(document["columns"])

    def documents(self, documents: Sequence[Mapping[str, Any]]) -> list[list[float]]:
        """The scores of several documents of one kind, from one call of the model."""
        if "instances" in documents[0]:
            parts = [one["instances"] for one in documents]
            scores = self.rows([row for part in parts for row in part])
        else:
            tables = [one["columns"] for one in documents]
            parts = [table[next(iter(self._inputs))] for table in tables]
            scores = self.columns(
                {name: [v for table in tables for v in table[name]] for name in self._inputs}
            )
        listed = iter(scores.tolist())
        return [[next(listed) for _ in part] for part in parts]

    def _scores(self, feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:
        scores: NDArray[Any] = self._run([self._output], feeds)[0][:, 1]
        return scores
