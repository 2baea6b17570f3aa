"""``export``: one version as a directory of MLflow's."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shipway.api.named import version_named
from shipway.bootstrap.predictors import contract_of
from shipway.bootstrap.project import Project
from shipway.packaging.mlflow import build_mlflow


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written where; ``files`` is empty for a dry run."""

    folder: str
    version: str
    files: tuple[str, ...]


def export_mlflow(
    project: Project, version: str, out: Path, *, force: bool = False, dry_run: bool = False
) -> Exported:
    """Write *version* into *out* as a model that ``mlflow.pyfunc.load_model`` reads.

    Raises :class:`~shipway.errors.ModelError` for a version that is not ONNX.
    """
    chosen = version_named(project, version)
    files: tuple[str, ...] = ()
    if not dry_run:
        opened = project.registry.open_files(chosen)
        files = build_mlflow(
            out,
            version=chosen,
            contract=contract_of(project.registry, chosen),
            model=opened[chosen.manifest.spec.main_file].read_bytes(),
            force=force,
        )
    return Exported(folder=str(out), version=chosen.ref, files=files)
