"""A candidate: a model made ready, with its contract and objectives, published or not yet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shipway.bootstrap.predictors import (
    CONTRACT_IN_VERSION,
    predictor_from,
    predictor_of,
    served_version,
)
from shipway.contract import odcs
from shipway.inference.predictor import Predictor
from shipway.registry.records import Manifest, Version
from shipway.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Candidate:
    """A manifest with the bytes of its files, and its version once it is published."""

    manifest: Manifest
    files: Mapping[str, bytes]
    version: Version | None = None

    @property
    def name(self) -> str:
        """What to call it: ``flight-delay@3``, or the model's name and "(not published)"."""
        return self.version.ref if self.version else f"{self.manifest.model} (not published)"


@contextmanager
def opened(candidate: Candidate, registry: Registry) -> Iterator[Predictor]:
    """A predictor of *candidate*: from the registry if it is published, else from its bytes.

    It is closed at the end of the block.
    """
    if candidate.version is not None:
        with closing(predictor_of(registry, candidate.version)) as predictor:
            yield predictor
        return
    contract = odcs.load(candidate.files[CONTRACT_IN_VERSION].decode(), source=CONTRACT_IN_VERSION)
    served = served_version(candidate.manifest, contract, endpoint=contract.model, number=0)
    with tempfile.TemporaryDirectory(prefix="shipway-") as folder:
        paths = {}
        for path, content in candidate.files.items():
            paths[path] = Path(folder) / path.replace("/", "__")
            paths[path].write_bytes(content)
        with closing(predictor_from(served, paths)) as predictor:
            yield predictor
