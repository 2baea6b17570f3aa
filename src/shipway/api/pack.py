"""``pack``: a model file becomes a version, converted, proved equal and published."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from shipway.api.candidate import Candidate
from shipway.api.sign import sign_published
from shipway.api.tag import tag_when_asked
from shipway.bootstrap.predictors import CONTRACT_IN_VERSION, SETTINGS_IN_VERSION
from shipway.bootstrap.project import Project
from shipway.config.secrets import command_without_secrets
from shipway.config.write import settings_without_secrets
from shipway.contract import odcs
from shipway.contract.schema import Contract
from shipway.contract.tables import known_rows, read_table
from shipway.domain.digests import digest_of_file
from shipway.domain.model import ModelSpec, Parity
from shipway.domain.objectives import TrainingTarget
from shipway.domain.progress import SILENT, Progress
from shipway.domain.times import iso
from shipway.errors import NotEnoughData
from shipway.evidence.baseline import training_target
from shipway.evidence.outcomes import class_indices
from shipway.inference.personal import protection_of
from shipway.registry.entries import file_entries
from shipway.registry.installed import host_libraries, installed_contents, seed_in
from shipway.registry.lineage import DIFF_FILE, capture
from shipway.registry.records import DataRecord, Making, Manifest, Version
from shipway.runtimes.packing import pack as pack_model
from shipway.runtimes.port import Packed, SourceInfo

PARITY_ROWS = 5_000


class PackResult(msgspec.Struct, frozen=True, kw_only=True):
    """What packing made: ``version`` is None unless it was published."""

    version: Version | None
    format: str
    parity: Parity | None
    notes: tuple[str, ...]
    size_bytes: int


def pack(
    project: Project,
    model: Path,
    *,
    trust_pickle: bool = False,
    trust_code: bool = False,
    entry: str | None = None,
    requirements: Path | None = None,
    data: Path | None = None,
    known_as: Path | None = None,
    progress: Progress = SILENT,
) -> tuple[Candidate, PackResult]:
    """Make the file *model*, or the code at it, ready without publishing it.

    The model is converted to ONNX where that is proved to answer the same on up to 5,000 real
    rows of the training table (or of *data*), and kept in a safe format of its library otherwise.
    Code is taken in as it is, with what *requirements* pins; *entry* names what predicts. What is
    remembered as the place of the file is *known_as*, where that is given.

    Raises :class:`~shipway.errors.ModelError` for a model that cannot be taken in,
    :class:`~shipway.errors.DataError` for rows that break the contract, and
    :class:`~shipway.errors.ConfigError` for columns that nobody is named to encrypt for.
    """
    protection_of(project.contract, project.personal)  # what cannot be served is not made ready
    table_path = project.table_path(data, "train")
    with progress.start("Reading the training table", None, "rows") as task:
        table = read_table(table_path, kinds=project.contract.kinds)
        task.advance(table.height)
    objectives = project.settings.objectives
    with progress.start("Converting and proving", None, "steps") as task:
        packed, source = pack_model(
            model,
            project.contract,
            project.compiled.encode(_sample(table)),
            threshold=objectives.decision_threshold(),
            positive=objectives.positive,
            trust_pickle=trust_pickle,
            trust_code=trust_code,
            entry=entry,
            requirements=requirements,
        )
        task.advance(1)
    making = _making(
        project,
        known_as or model,
        source,
        trust_pickle=trust_pickle,
        trust_code=trust_code,
        entry=entry,
        requirements=requirements,
        data=data,
    )
    candidate = _candidate(project, packed, source, table, table_path, making)
    result = PackResult(
        version=None,
        format=packed.spec.format,
        parity=packed.parity,
        notes=packed.notes,
        size_bytes=sum(len(content) for content in candidate.files.values()),
    )
    return candidate, result


def _candidate(
    project: Project,
    packed: Packed,
    source: SourceInfo,
    table: pl.DataFrame,
    table_path: Path,
    making: Making,
) -> Candidate:
    """The packed model with its contract, its settings and where all of it comes from."""
    contract, objectives = project.contract, project.settings.objectives
    captured = capture(
        project.folder, command=command_without_secrets(sys.argv), environ=project.environ
    )
    files = {
        **packed.files,
        CONTRACT_IN_VERSION: odcs.dump(contract).encode(),
        SETTINGS_IN_VERSION: _settings_of(project),
    }
    if captured.diff:
        files[DIFF_FILE] = captured.diff
    lineage = captured.lineage(
        data=[data_record("train", table_path, table, project)],
        source_model_digest=source.digest,
        source_model_type=source.type,
        parameters=source.parameters,
        making=making,
    )
    manifest = Manifest(
        model=contract.model,
        task=contract.task,
        spec=packed.spec,
        objectives=objectives,
        threshold=objectives.decision_threshold() if packed.spec.classes else None,
        files=file_entries(files),
        lineage=lineage,
        trained=_trained(packed.spec, contract, table),
        parity=packed.parity,
        notes=packed.notes,
    )
    return Candidate(manifest, files)


def _making(
    project: Project,
    model: Path,
    source: SourceInfo,
    *,
    trust_pickle: bool,
    trust_code: bool,
    entry: str | None,
    requirements: Path | None,
    data: Path | None,
) -> Making:
    """What it takes to make the version again; paths as they are from the project's folder."""
    words = ["pack", _from_project(project, model)]
    words += ["--trust-pickle"] if trust_pickle else []
    words += ["--trust-code"] if trust_code else []
    words += ["--entry", entry] if entry else []
    words += ["--requirements", _from_project(project, requirements)] if requirements else []
    words += ["--data", _from_project(project, data)] if data else []
    return Making(
        training=_words(project.settings.retrain.command or ""),
        packing=tuple(words),
        seed=seed_in(source.parameters),
        contents=installed_contents(),
        libraries=host_libraries(),
    )


def _words(command: str) -> tuple[str, ...]:
    """The words of a command line; one that has an open quotation is kept whole."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return (command,)


def _from_project(project: Project, path: Path) -> str:
    """*path* relative to the project where it lies below it; its name alone elsewhere."""
    absolute, folder = path.absolute(), project.folder.absolute()
    inside = absolute.is_relative_to(folder)
    return absolute.relative_to(folder).as_posix() if inside else path.name


def publish(project: Project, candidate: Candidate) -> Candidate:
    """Publish *candidate* and sign it: all of it or nothing; the same bytes are the same version.

    One that was published and not signed, because signing failed, is signed by publishing again.
    """
    version = project.registry.publish(
        candidate.manifest, candidate.files, by=project.who, now=project.clock()
    )
    sign_published(project, version)
    tag_when_asked(project)
    return Candidate(candidate.manifest, candidate.files, version)


def data_record(role: str, path: Path, table: pl.DataFrame, project: Project) -> DataRecord:
    """What the lineage remembers of a table: digest, size, and the stretch of time it covers."""
    time = project.settings.model.time
    first = last = ""
    if time is not None and time in table.columns and table.height:
        moments = table[time]
        first, last = (_moment(moments.min()), _moment(moments.max()))
    return DataRecord(
        role=role,
        digest=digest_of_file(path),
        rows=table.height,
        columns=table.width,
        location=path.name,
        time_from=first,
        time_to=last,
    )


def _settings_of(project: Project) -> bytes:
    """The project's settings as a version keeps them, for everybody who gets the version."""
    text = project.loaded.path.read_text(encoding="utf-8-sig")
    return settings_without_secrets(text).encode()


def _trained(spec: ModelSpec, contract: Contract, table: pl.DataFrame) -> TrainingTarget | None:
    """What training knew of the target; None when the table does not hold it."""
    target = contract.target
    if target is None or target.name not in table.columns:
        return None
    values = known_rows(table, target.name)[target.name].to_numpy()
    if spec.classes:
        indices = class_indices(values, spec.classes)
        return training_target(spec.task, indices.astype(float), len(spec.classes))
    return training_target(spec.task, values.astype(float))


def _moment(value: object) -> str:
    return iso(value) if isinstance(value, datetime) else str(value)


def _sample(table: pl.DataFrame) -> pl.DataFrame:
    """Up to :data:`PARITY_ROWS` rows, evenly spaced, so that every season of the table is there."""
    if table.height == 0:
        raise NotEnoughData(
            "the training table has no rows to prove the packed model on",
            next_step="name a table with rows as data.train",
        )
    return table.gather_every(max(1, table.height // PARITY_ROWS)).head(PARITY_ROWS)
