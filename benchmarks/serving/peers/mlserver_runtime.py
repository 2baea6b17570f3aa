"""MLServer's custom runtime for the model: one tensor of rows, or a tensor a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput
from scoring import Scorer


class OnnxRuntime(MLModel):
    """The model in the process of the server."""

    async def load(self) -> bool:
        """Open the model."""
        self._scorer = Scorer(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score the rows of one request, or of a batch."""
        if len(payload.inputs) == 1:
            scores = self._scorer.rows(NumpyCodec.decode_input(payload.inputs[0]))
        else:
            scores = self._scorer.columns({one.name: _column(one) for one in payload.inputs})
        output = NumpyCodec.encode_output("score", scores)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])


def _column(tensor: RequestInput) -> Any:
    if tensor.datatype == "BYTES":
        return StringCodec.decode_input(tensor)
    dtype = np.int64 if tensor.datatype == "INT64" else np.float64
    return np.array(list(tensor.data), dtype=dtype)
