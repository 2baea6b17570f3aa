"""A store on disk, and versions to put into it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.domain.objectives import Objectives
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.entries import file_entries
from shipway.registry.opening import open_registry
from shipway.registry.records import Lineage, Manifest, Version
from shipway.registry.registry import Registry
from shipway.security.sealing import NO_KEYRING, Keyring

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def files(seed: str) -> dict[str, bytes]:
    """The files of a small version: the same for the same *seed*, different for another."""
    return {
        "contract.yaml": b"columns: []\n",
        "model.onnx": seed.encode() * 500,
        "notes/why.md": b"# Why\n" + seed.encode(),
        "shipway.toml": b"[model]\n",
    }


def manifest(contents: Mapping[str, bytes], *, model: str = "flight-delay") -> Manifest:
    """A manifest that describes *contents*."""
    spec = ModelSpec(
        format="onnx",
        task=Task.BINARY,
        inputs=(InputSpec("distance", Kind.NUMBER),),
        classes=(0, 1),
        main_file="model.onnx",
    )
    return Manifest(
        model=model,
        task=Task.BINARY,
        spec=spec,
        objectives=Objectives(task=Task.BINARY, objectives=()),
        threshold=0.5,
        files=file_entries(contents),
        lineage=Lineage(command=("python", "train.py")),
        metrics={"roc_auc": 0.75},
    )


class Store:
    """A registry in a folder, with shorthands for tests."""

    def __init__(
        self, home: Path, addresses: Addresses = IN_FOLDER, keyring: Keyring = NO_KEYRING
    ) -> None:
        self.home = home
        self.addresses = addresses
        self.keyring = keyring
        self.registry: Registry = open_registry(home, addresses, keyring=keyring)
        self.now = NOW

    def publish(self, seed: str = "a", *, model: str = "flight-delay", by: str = "anna") -> Version:
        """A version that is the same for the same *seed*."""
        contents = files(seed)
        return self.registry.publish(manifest(contents, model=model), contents, by=by, now=self.now)

    def blob(self, version: Version, path: str) -> Path:
        """Where the blob of one file of *version* lies."""
        digest = next(entry.digest for entry in version.manifest.files if entry.path == path)
        return self.home / "blobs" / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def cached(self, version: Version, path: str) -> Path:
        """Where one file of *version* lies once it was opened."""
        return self.home / "cache" / version.digest.removeprefix("sha256:") / path

    def reopen(self) -> None:
        """Close the registry and open it again, as another process would find it."""
        self.registry.close()
        self.registry = open_registry(self.home, self.addresses, keyring=self.keyring)


def everything(registry: Registry) -> list[object]:
    """All that a registry says, to compare two of them."""
    models = registry.models()
    versions = [version for model in models for version in registry.versions(model)]
    evidence = [registry.evidence(version.model, version.number) for version in versions]
    opened = [
        {path: file.read_bytes() for path, file in registry.open_files(version).items()}
        for version in versions
    ]
    histories = [registry.history(state.endpoint) for state in registry.endpoints()]
    deleted = [registry.stores[0].deletions.list(model) for model in models]
    return [models, versions, evidence, opened, histories, registry.keys(), deleted]
