"""Shipway's side: ``python -m benchmarks.registries.shipway_program FOLDER MODELS``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import onnxruntime

from benchmarks.registries.program import obey
from shipway.domain.digests import digest_of
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.domain.objectives import Objectives
from shipway.registry.entries import file_entries
from shipway.registry.manifests import manifest_bytes
from shipway.registry.oci import image_bytes, image_descriptor
from shipway.registry.opening import open_registry
from shipway.registry.records import Lineage, Manifest
from shipway.registry.registry import Registry

_NAME = "measured"


class Ours:
    """A store in *folder*, and the model files in *models*."""

    def __init__(self, folder: Path, models: Path) -> None:
        self._registry: Registry = open_registry(folder / "store")
        self._models = models

    def publish(self, name: str) -> int:
        """Publish the model file *name* as the next version: durable when it is told."""
        contents = {"model.onnx": (self._models / name).read_bytes()}
        version = self._registry.publish(
            _manifest(contents), contents, by="bench", now=datetime.now(UTC)
        )
        return version.number

    def load(self, number: str) -> int:
        """A version as a model that can be asked: signature judged, every byte verified."""
        files = self._registry.open_files(self._registry.version(_NAME, int(number)))
        session = onnxruntime.InferenceSession(files["model.onnx"].read_bytes())
        return len(session.get_inputs())

    def fill(self, count: str) -> int:
        """Add *count* versions by their records alone: what a list reads, without its files."""
        records = self._registry.stores[0].versions
        for index in range(int(count)):
            described = _manifest({"model.onnx": f"{index}".encode() * 1_000})
            content = manifest_bytes(described)
            image = image_descriptor(image_bytes(described, content))
            now = datetime.now(UTC)
            records.append(
                described, content=content, digest=digest_of(content), image=image, by="b", now=now
            )
        return len(self._registry.summaries(_NAME))

    def list(self, _: str) -> int:
        """What ``shipway versions`` asks for."""
        verdicts = self._registry.verdicts(_NAME, "gate")
        return len([(each, verdicts.get(each.number)) for each in self._registry.summaries(_NAME)])

    def close(self, _: str) -> None:
        """End as a program does."""
        self._registry.close()


def _manifest(contents: dict[str, bytes]) -> Manifest:
    return Manifest(
        model=_NAME,
        task=Task.REGRESSION,
        spec=ModelSpec(
            format="onnx",
            task=Task.REGRESSION,
            inputs=(InputSpec("x", Kind.NUMBER),),
            main_file="model.onnx",
        ),
        objectives=Objectives(task=Task.REGRESSION, objectives=()),
        threshold=None,
        files=file_entries(contents),
        lineage=Lineage(command=("python", "train.py"), parameters={"trees": 100}),
        metrics={"rmse": 0.75},
    )


if __name__ == "__main__":
    ours = Ours(Path(sys.argv[1]), Path(sys.argv[2]))
    obey(
        {
            "publish": ours.publish,
            "load": ours.load,
            "fill": ours.fill,
            "list": ours.list,
            "close": ours.close,
        }
    )
