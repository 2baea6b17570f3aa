"""``edge``: one version as a folder that runs without Shipway."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shipway.api.score import version_or_live
from shipway.bootstrap.predictors import contract_of
from shipway.bootstrap.project import Project
from shipway.packaging.edge import build_bundle


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle: its folder, its files, and the version in it."""

    folder: str
    version: str
    files: tuple[str, ...]
    size_bytes: int


def edge(project: Project, out: Path, *, version: str | None = None, force: bool = False) -> Edge:
    """Make the bundle of the live version (or *version*) in *out*.

    Raises :class:`~shipway.errors.ModelError` for a version that is not ONNX.
    """
    chosen = version_or_live(project, version)
    files = project.registry.open_files(chosen)
    bundle = build_bundle(
        out,
        version=chosen,
        contract=contract_of(project.registry, chosen),
        model=files[chosen.manifest.spec.main_file].read_bytes(),
        force=force,
    )
    made = sorted(path for path in bundle.folder.rglob("*") if path.is_file())
    return Edge(
        folder=str(bundle.folder),
        version=chosen.ref,
        files=tuple(path.relative_to(bundle.folder).as_posix() for path in made),
        size_bytes=sum(path.stat().st_size for path in made),
    )
