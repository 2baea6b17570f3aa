"""The model as MLflow loads it: rows of numbers come as an array, columns as a pandas frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from scoring import Scorer


class OnnxModel(PythonModel):
    """A pyfunc around onnxruntime."""

    def load_context(self, context: Any) -> None:
        """Open the model."""
        self._scorer = Scorer(context.artifacts["model"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """The scores of *model_input*."""
        if isinstance(model_input, np.ndarray | list):
            return self._scorer.rows(model_input)
        return self._scorer.columns(model_input)


set_model(OnnxModel())
