"""A version of a small model, as the registry would give it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import pytest

from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.domain.objectives import Objective, Objectives
from shipway.registry.records import Lineage, Manifest, Version


class MakeVersion(Protocol):
    """Makes a version, with some parts of it as the test wants them."""

    def __call__(
        self,
        *,
        model: str = ...,
        digest: str = ...,
        spec_format: str = ...,
        library: dict[str, str] | None = ...,
    ) -> Version: ...


@pytest.fixture
def make_version() -> MakeVersion:
    def make(
        *,
        model: str = "flight-delay",
        digest: str = "sha256:" + "ab" * 32,
        spec_format: str = "onnx",
        library: dict[str, str] | None = None,
    ) -> Version:
        manifest = Manifest(
            model=model,
            task=Task.BINARY,
            spec=ModelSpec(
                format=spec_format,
                task=Task.BINARY,
                inputs=(InputSpec("x", Kind.NUMBER),),
                classes=(0, 1),
                main_file="model.onnx",
                library=library or {},
            ),
            objectives=Objectives(
                task=Task.BINARY, objectives=(Objective(metric="roc_auc", at_least=0.7),)
            ),
            threshold=0.5,
            files=(),
            lineage=Lineage(),
        )
        return Version(
            model=model,
            number=3,
            digest=digest,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            created_by="ada",
            manifest=manifest,
        )

    return make
