"""Which libraries are installed, and whether they are the ones that a model was packed with."""

from __future__ import annotations

from importlib import metadata

from shipway.domain.model import ModelSpec
from shipway.errors import MissingPackage


def installed(libraries: tuple[str, ...]) -> dict[str, str]:
    """The versions installed of *libraries* (names of distributions), those that are there."""
    found = {name: _version(name) for name in libraries}
    return {name: version for name, version in found.items() if version}


def check_version(spec: ModelSpec, library: str, extra: str) -> None:
    """Refuse to run a native model under another feature release than it was packed with.

    The libraries promise nothing about answers across releases, and parity was proved on one.
    """
    wanted = spec.library.get(library, "")
    here = _version(library)
    if not here:
        raise MissingPackage.for_extra(library, extra, f"run a {spec.format} model")
    if wanted and wanted.split(".")[:2] != here.split(".")[:2]:
        raise MissingPackage(
            f"the model was packed and proved with {library} {wanted}, and {here} is installed",
            next_step=f'pip install "{library}=={wanted}", or pack the model again here',
        )


def _version(library: str) -> str:
    """The version installed; XGBoost comes under two names."""
    for name in (library, "xgboost-cpu") if library == "xgboost" else (library,):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""
