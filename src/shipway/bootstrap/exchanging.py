"""The ways to artefacts elsewhere: who one is there, and how much of them is taken in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipway.bootstrap.project import Project
from shipway.domain.progress import Task
from shipway.errors import ModelFileError
from shipway.exchange.archives import ArchiveFiles, FilesBelow, UnpackedFiles, is_gzip
from shipway.exchange.credentials import credentials_for
from shipway.exchange.layout import ROOT, Files, FolderFiles, Layout, LayoutFolder
from shipway.exchange.limits import Limits
from shipway.exchange.mlflow_reading import MLMODEL
from shipway.exchange.places import Place
from shipway.exchange.references import Reference
from shipway.exchange.remote import RemoteRepository
from shipway.exchange.repository import Repository, Source
from shipway.exchange.session import Session


@contextmanager
def source_at(project: Project, place: Place, task: Task) -> Iterator[Source]:
    """What can be read at *place*, a registry, or the layout in a folder or a tar archive."""
    if isinstance(place, Reference):
        with _registry_of(project, place, task) as repository:
            yield repository
    else:
        yield layout_at(place.path, limits_of(project))


@contextmanager
def repository_at(project: Project, place: Place, task: Task) -> Iterator[Repository]:
    """What can be written at *place*; a folder that is not there is made an empty layout."""
    if isinstance(place, Reference):
        with _registry_of(project, place, task) as repository:
            yield repository
    else:
        layout = LayoutFolder(place.path)
        layout.begin()
        yield layout


@contextmanager
def _registry_of(project: Project, reference: Reference, task: Task) -> Iterator[RemoteRepository]:
    """The repository of *reference*, as whoever the environment says that one is there."""
    credentials = credentials_for(reference.registry, project.environ)
    with Session(reference, credentials) as session:
        yield RemoteRepository(reference, session, moved=task.advance)


def limits_of(project: Project) -> Limits:
    """How much of one artefact the settings of *project* let in."""
    store = project.settings.store
    return Limits(
        bytes=store.pull_limit_bytes,
        expanded_bytes=store.pull_limit_expanded_bytes,
        file_bytes=store.pull_limit_file_bytes,
        files=store.pull_limit_files,
    )


def layout_at(path: Path, limits: Limits) -> Layout:
    """The OCI image layout in the folder, or in the tar archive, at *path*.

    Raises :class:`~shipway.errors.ModelFileError` for what is none.
    """
    if path.is_dir():
        if not (path / ROOT).is_file():
            raise ModelFileError(
                f"{str(path)!r} is no OCI image layout: it has no file {ROOT}",
                next_step="name the folder that has it, or a tar archive of one; an MLflow model"
                " comes in by `shipway import`",
            )
        return Layout(FolderFiles(path), str(path))
    return Layout(ArchiveFiles(path, limits), str(path))


def logged_files(path: Path, limits: Limits) -> Files:
    """The files of the MLflow model in the folder, or in the tar archive, at *path*.

    Its own file ``MLmodel`` may be named too; in an archive it may lie below folders. Raises
    :class:`~shipway.errors.ModelFileError` for what is none.
    """
    if path.name == MLMODEL and path.is_file():
        path = path.parent
    if path.is_dir():
        if not (path / MLMODEL).is_file():
            raise ModelFileError(
                f"{str(path)!r} is no MLflow model (it has no file {MLMODEL}) and no OCI image"
                f" layout (it has no file {ROOT})",
                next_step="name the folder that has it; `shipway pack` takes a model's file alone",
            )
        return FolderFiles(path)
    if not path.is_file():
        raise ModelFileError(
            f"there is no MLflow model {str(path)!r}",
            next_step="name its folder, or a tar archive of one",
        )
    files = UnpackedFiles(path, limits) if is_gzip(path) else ArchiveFiles(path, limits)
    return FilesBelow(files, MLMODEL, str(path))
