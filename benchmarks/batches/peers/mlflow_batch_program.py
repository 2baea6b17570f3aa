"""What people write by hand, and what MLflow does, with the same graph in onnxruntime.

``by_hand TABLE OUT`` reads parquet in batches, predicts each from a pandas frame and writes one
parquet file; ``save FOLDER`` saves the model for ``mlflow models predict``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.parquet as pq
from mlflow.pyfunc import save_model
from mlflow.pyfunc.model import PythonModel

from benchmarks.registries.program import obey

_BATCH_ROWS = 50_000


def main(graph: str) -> None:
    """Do what standard input says with the model in the file *graph*."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])

    def scores(frame: Any) -> Any:
        return session.run(None, {"rows": frame.to_numpy(dtype=np.float32)})[1][:, 1]

    def by_hand(words: str) -> int:
        table, out = words.split()
        made = []
        for batch in pq.ParquetFile(table).iter_batches(batch_size=_BATCH_ROWS):
            frame = batch.to_pandas()
            found = scores(frame)
            made.append(pd.DataFrame({"score": found, "prediction": (found >= 0.5).astype(int)}))
        predictions = pd.concat(made, ignore_index=True)
        predictions.to_parquet(out)
        return len(predictions)

    def save(folder: str) -> str:
        class Graph(PythonModel):
            def load_context(self, context: Any) -> None:
                self._session = onnxruntime.InferenceSession(context.artifacts["graph"])

            def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
                rows = model_input.to_numpy(dtype=np.float32)
                return self._session.run(None, {"rows": rows})[1][:, 1]

        save_model(folder, python_model=Graph(), artifacts={"graph": graph})
        return str(Path(folder).resolve())

    obey({"by_hand": by_hand, "save": save})


if __name__ == "__main__":
    main(sys.argv[1])
