"""MLflow: a pyfunc model around onnxruntime, served by ``mlflow models serve`` with one worker.

The model was saved before (``prepare`` as a last argument): that is not part of the start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scoring import arguments


def prepare(folder: Path, model: str) -> None:
    """Save the model in MLflow's format."""
    import mlflow

    mlflow.pyfunc.save_model(
        folder,
        python_model=str(Path(__file__).with_name("mlflow_model.py")),
        artifacts={"model": model},
        code_paths=[str(Path(__file__).with_name("scoring.py"))],
        pip_requirements=["onnxruntime"],
    )


def serve(folder: Path, port: int) -> None:
    """Become the server."""
    program = Path(sys.executable).with_name("mlflow")
    words = ["models", "serve", "--model-uri", str(folder), "--env-manager", "local"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.execv(program, [str(program), *words])


if __name__ == "__main__":
    told = arguments()
    where = Path(told.folder) / "model"
    if sys.argv[-1] == "prepare":
        prepare(where, told.model)
    else:
        serve(where, told.http_port)
