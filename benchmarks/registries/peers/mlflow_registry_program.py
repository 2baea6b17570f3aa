"""MLflow's side, with its records in SQLite: given a folder, and that of the model files."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import mlflow
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from benchmarks.registries.program import obey

_NAME = "measured"


class Theirs:
    """A tracking store and a registry in *folder*, and the model files in *models*."""

    def __init__(self, folder: Path, models: Path) -> None:
        folder.mkdir()
        self._artifacts = folder / "artifacts"
        self._models = models
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        experiment = mlflow.create_experiment("bench", artifact_location=self._artifacts.as_uri())
        mlflow.set_experiment(experiment_id=experiment)
        self._client = mlflow.MlflowClient()
        self._client.create_registered_model(_NAME)
        self._run = mlflow.start_run()
        mlflow.log_param("trees", 100)
        mlflow.log_metric("rmse", 0.75)

    def publish(self, name: str) -> int:
        """As its guide has it; what it would infer (requirements, signature) is given."""
        numpy = __import__("numpy")
        tensors = Schema([TensorSpec(numpy.dtype("float32"), (-1, 1), "x")])
        logged = mlflow.onnx.log_model(
            onnx.load(self._models / name),
            name="model",
            registered_model_name=_NAME,
            signature=ModelSignature(inputs=tensors),
            pip_requirements=["onnx", "onnxruntime"],
        )
        return int(logged.registered_model_version)

    def synced(self, name: str) -> int:
        """The same, with its files on the platter before it is told, as ours are."""
        number = self.publish(name)
        for folder, _, files in os.walk(self._artifacts):
            for file in files:
                _sync(Path(folder) / file)
            _sync(Path(folder))
        return number

    def cheapest(self, name: str) -> int:
        """The least that gives a version: a copied file and a record of where it is."""
        place = self._artifacts / "plain" / name
        place.mkdir(parents=True)
        shutil.copy(self._models / name, place / "model.onnx")
        return int(self._client.create_model_version(_NAME, str(place)).version)

    def load(self, number: str) -> int:
        """A version as a model that can be asked."""
        model = mlflow.pyfunc.load_model(f"models:/{_NAME}/{number}")
        return len(model.metadata.signature.inputs.inputs)

    def fill(self, count: str) -> int:
        """Add *count* versions by their records alone."""
        for _ in range(int(count)):
            self._client.create_model_version(_NAME, str(self._artifacts))
        return int(count)

    def list(self, _: str) -> int:
        """All versions, page by page as it gives them."""
        found, token = 0, None
        while True:
            page = self._client.search_model_versions(
                f"name='{_NAME}'", max_results=10_000, page_token=token
            )
            found, token = found + len(page), page.token
            if not token:
                return found

    def close(self, _: str) -> None:
        """End as a program does."""
        mlflow.end_run()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    theirs = Theirs(Path(sys.argv[1]), Path(sys.argv[2]))
    obey(
        {
            "publish": theirs.publish,
            "synced": theirs.synced,
            "cheapest": theirs.cheapest,
            "load": theirs.load,
            "fill": theirs.fill,
            "list": theirs.list,
            "close": theirs.close,
        }
    )
