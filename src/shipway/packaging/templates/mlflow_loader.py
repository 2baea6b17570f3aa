"""Loads the model beside this file for ``mlflow.pyfunc.load_model``: an edge bundle of Shipway.

It needs onnxruntime, numpy and pandas, and no Shipway. Rows are checked against the contract and
decided as by Shipway's server.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd


class Model:
    """What MLflow asks; ``runner`` is the one of the bundle."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row with the prediction, and its score or its probabilities, for each row of the input.

        Raises the runner's ContractViolated with every fault of every row.
        """
        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        plain = frame.astype(object)
        rows = plain.where(plain.notna(), None).to_dict("records")
        answers = []
        for answer in self.runner.predict(rows):
            named = answer.pop("probabilities", {})
            answers.append(answer | {f"probability_{name}": value for name, value in named.items()})
        return pd.DataFrame(answers, index=frame.index)


def _load_pyfunc(data_path: str) -> Model:
    """The model in the folder *data_path*; MLflow calls this by name."""
    path = Path(data_path)
    spec = importlib.util.spec_from_file_location("shipway_edge_runner", path / "runner.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} holds no runner.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Model(module.Runner(path))
