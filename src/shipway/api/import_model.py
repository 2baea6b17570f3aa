"""``import``: the model that MLflow logged becomes a version, by the way that every model goes."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

import msgspec

from shipway.api.candidate import Candidate
from shipway.api.pack import PackResult, pack
from shipway.bootstrap.exchanging import limits_of, logged_files
from shipway.bootstrap.project import Project
from shipway.domain.digests import digest_of
from shipway.domain.progress import SILENT, Progress
from shipway.errors import PickleRefused
from shipway.exchange.mlflow_reading import MLMODEL, Logged, check_inputs, read_logged
from shipway.runtimes.detection import holds_pickle


def import_model(
    project: Project, path: Path, *, data: Path | None = None, progress: Progress = SILENT
) -> tuple[Candidate, PackResult]:
    """Make the MLflow model in the folder or the archive at *path* ready, without publishing it.

    Its file is packed as if it had been named to ``pack``: converted and proved on rows of the
    training table (or of *data*). A pickle is opened only if ``trust.pickle`` lists its digest.
    Raises :class:`~shipway.errors.ModelError` and :class:`~shipway.errors.DataError`.
    """
    limits = limits_of(project)
    logged = read_logged(logged_files(path, limits), str(path), limits)
    check_inputs(logged, project.contract)
    pickled = holds_pickle(logged.content)
    if pickled:
        _check_listed(project, logged, path)
    name = PurePosixPath(logged.path).name
    with tempfile.TemporaryDirectory(prefix="shipway-") as folder:
        # What was looked at is what is packed, whoever may write to where it came from.
        file = Path(folder) / name
        file.write_bytes(logged.content)
        candidate, result = pack(
            project,
            file,
            trust_pickle=pickled,
            data=data,
            known_as=_home_of(path) / logged.path,
            progress=progress,
        )
    notes = (logged.origin, *candidate.manifest.notes)
    manifest = msgspec.structs.replace(candidate.manifest, notes=notes)
    return Candidate(manifest, candidate.files), msgspec.structs.replace(result, notes=notes)


def _home_of(path: Path) -> Path:
    """The folder of the model; an archive stands for the folder that it was made of."""
    return path.parent if path.name == MLMODEL else path


def _check_listed(project: Project, logged: Logged, path: Path) -> None:
    digest = digest_of(logged.content)
    if digest not in project.settings.trust.pickle:
        raise PickleRefused(
            f"{logged.path!r} of {str(path)!r} is a pickle: opening it runs whatever code its"
            " author put into it, and the policy does not list it",
            next_step=f'write pickle = ["{digest}"] under [trust], if you believe who made it; or'
            " log the model as ONNX, or with serialization_format skops",
        )
