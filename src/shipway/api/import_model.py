"""``import``: a model of MLflow's, or a ModelPack of another tool, becomes a version."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

import msgspec

from shipway.api.candidate import Candidate
from shipway.api.pack import PackResult, pack
from shipway.bootstrap.exchanging import limits_of, logged_files, source_at
from shipway.bootstrap.project import Project
from shipway.domain.digests import digest_of
from shipway.domain.progress import SILENT, Progress
from shipway.errors import PickleRefused, UsageError
from shipway.exchange.foreign import Weights, weights_of
from shipway.exchange.layout import ROOT
from shipway.exchange.mlflow_reading import MLMODEL, Logged, check_inputs, read_logged
from shipway.exchange.places import Local, Place, place_to_fetch
from shipway.exchange.pulling import Fetched
from shipway.exchange.pulling import pull as fetch
from shipway.runtimes.detection import holds_pickle


def import_model(
    project: Project, address: str, *, data: Path | None = None, progress: Progress = SILENT
) -> tuple[Candidate, PackResult]:
    """Make the model at *address* ready, without publishing it.

    That is the folder of an MLflow model or a tar archive of one, or a ModelPack in a registry or
    a layout. Its file is packed as if it had been named to ``pack``: converted and proved on rows
    of the training table (or of *data*). A pickle is opened only if ``trust.pickle`` lists its
    digest. Raises :class:`~shipway.errors.ModelError`, :class:`~shipway.errors.DataError`, and
    what ``pull`` raises for an artefact that is not as it should be.
    """
    place = place_to_fetch(address)
    if isinstance(place, Local) and not (place.path / ROOT).is_file():
        found: Logged | Weights = _logged(project, place.path)
        home = place.path.parent if place.path.name == MLMODEL else place.path
    else:
        found = _weights(project, place, progress)
        home = Path()
    pickled = holds_pickle(found.content)
    if pickled:
        _check_listed(project, found, address)
    with tempfile.TemporaryDirectory(prefix="shipway-") as folder:
        # What was looked at is what is packed, whoever may write to where it came from.
        file = Path(folder) / PurePosixPath(found.path).name
        file.write_bytes(found.content)
        candidate, result = pack(
            project,
            file,
            trust_pickle=pickled,
            data=data,
            known_as=home / found.path,
            progress=progress,
        )
    notes = (found.origin, *candidate.manifest.notes)
    manifest = msgspec.structs.replace(candidate.manifest, notes=notes)
    return Candidate(manifest, candidate.files), msgspec.structs.replace(result, notes=notes)


def _logged(project: Project, path: Path) -> Logged:
    limits = limits_of(project)
    logged = read_logged(logged_files(path, limits), str(path), limits)
    check_inputs(logged, project.contract)
    return logged


def _weights(project: Project, place: Place, progress: Progress) -> Weights:
    where, limits = str(place), limits_of(project)
    with (
        progress.start(f"Fetching {where}", None, "bytes") as task,
        source_at(project, place, task) as source,
    ):
        found = fetch(source, place.key, where=where, limits=limits)
        if isinstance(found, Fetched):
            raise UsageError(
                f"{where} is a version of Shipway's, {found.manifest.model}",
                next_step=f"take it in as it is: `shipway pull {where}`",
            )
        return weights_of(source, found, where, limits)


def _check_listed(project: Project, found: Logged | Weights, address: str) -> None:
    digest = digest_of(found.content)
    if digest not in project.settings.trust.pickle:
        raise PickleRefused(
            f"{found.path!r} of {address!r} is a pickle: opening it runs whatever code its author"
            " put into it, and the policy does not list it",
            next_step=f'write pickle = ["{digest}"] under [trust], if you believe who made it; or'
            " save the model as ONNX, or with skops",
        )
