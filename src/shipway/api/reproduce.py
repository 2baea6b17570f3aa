"""``reproduce``: the recorded command once more, and whether the same model comes out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from shipway.api.candidate import Candidate
from shipway.api.reproduced import FileCheck, MetricCheck, file_checks, metric_checks
from shipway.bootstrap.predictors import CONTRACT_IN_VERSION, SETTINGS_IN_VERSION
from shipway.bootstrap.project import Project
from shipway.domain.digests import digest_of_file
from shipway.domain.progress import SILENT, Progress
from shipway.errors import EnvironmentFailure
from shipway.evidence.verdict import Verdict
from shipway.packaging.environments import fresh_environment, is_locked
from shipway.registry.checkout import checked_out
from shipway.registry.installed import differences, installed_contents
from shipway.registry.lineage import DIFF_FILE, installed_packages
from shipway.registry.opening import open_registry
from shipway.registry.records import DataRecord, Making, Version

TOLERANCE = 1e-6
_REQUIREMENTS = "requirements.txt"
_IN_FOLDER = {"SHIPWAY_STORE__URL": "", "SHIPWAY_STORE__BLOBS": ""}
"""What is made again is kept in a folder that goes away, wherever the store is."""
_REPORTED_LINES = 12


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the environment that is not as it was; "" for what is or was not there."""

    name: str
    then: str
    now: str


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What came out.

    ``verdict`` is pass when the model's files are the same, or when all metrics are within
    ``tolerance`` (relative) of what the gate recorded; fail when they are not; undecided when
    something that it takes is lacking, which ``lacks`` tells.
    """

    model: str
    version: int
    verdict: Verdict
    why: str
    commands: tuple[str, ...]
    environment: str
    changes: tuple[Change, ...]
    lacks: tuple[str, ...]
    files: tuple[FileCheck, ...]
    metrics: tuple[MetricCheck, ...]
    tolerance: float


def reproduce(
    project: Project,
    version: str,
    *,
    tolerance: float = TOLERANCE,
    progress: Progress = SILENT,
) -> Reproduction:
    """Train and pack *version* once more, as it was recorded, and compare what comes out.

    The code is the recorded commit with its uncommitted change, in a working tree that goes away
    again; the tables are verified by digest before anything runs; the environment is made anew
    where the version locks one, and is the present one with its differences told otherwise. The
    recorded commands are run as they are: reproduce only what you would run.

    Raises :class:`~shipway.errors.EnvironmentFailure` when a recorded command fails.
    """
    chosen = project.registry.resolve(version, project.model)
    making = _making(chosen)
    lacks = [*_lacking(chosen, making)]
    tables, missing = _tables(project, chosen)
    if missing or not making.packing:
        return _undecided(chosen, [*lacks, *missing], tolerance)
    files = project.registry.open_files(chosen)
    change = files[DIFF_FILE].read_bytes() if DIFF_FILE in files else b""
    code = chosen.manifest.lineage.code
    with (
        tempfile.TemporaryDirectory(prefix="shipway-") as temporary,
        checked_out(project.folder.absolute(), code, change, project.environ) as checkout,
    ):
        lacks += checkout.lacks
        place = _Place(project, chosen, making, checkout.folder, Path(temporary))
        place.furnish(tables)
        if (lack := place.source_model()) and not making.training:
            return _undecided(chosen, [*lacks, lack], tolerance)
        with progress.start("Reproducing", len(place.commands), "commands") as task:
            for command in place.commands:
                place.run(command)
                task.advance()
        made = place.made()
    checks = file_checks(chosen.manifest, made.manifest)
    metrics = (
        () if all(one.same for one in checks) else metric_checks(project, chosen, made, tolerance)
    )
    verdict, why = _verdict(checks, metrics, lacks)
    return Reproduction(
        model=chosen.model,
        version=chosen.number,
        verdict=verdict,
        why=why,
        commands=tuple(" ".join(command) for command in place.commands),
        environment=place.environment,
        changes=place.changes,
        lacks=tuple(lacks),
        files=checks,
        metrics=metrics,
        tolerance=tolerance,
    )


def _verdict(
    files: Sequence[FileCheck], metrics: Sequence[MetricCheck], lacks: Sequence[str]
) -> tuple[Verdict, str]:
    """The verdict, and the reason for it."""
    if all(one.same for one in files):
        return Verdict.PASS, "every file of the model is the same, byte for byte"
    if not metrics:
        return Verdict.UNDECIDED, "the bytes differ, and there are no metrics to compare"
    if all(one.within for one in metrics):
        return Verdict.PASS, "the bytes differ, and every metric is within the tolerance"
    if lacks:
        return Verdict.UNDECIDED, "it differs, and not all that it was made with is here"
    return Verdict.FAIL, "it differs by more than the tolerance"


def _undecided(version: Version, lacks: Sequence[str], tolerance: float) -> Reproduction:
    return Reproduction(
        model=version.model,
        version=version.number,
        verdict=Verdict.UNDECIDED,
        why="not all that it takes is here, so nothing was run",
        commands=(),
        environment="",
        changes=(),
        lacks=tuple(lacks),
        files=(),
        metrics=(),
        tolerance=tolerance,
    )


def _making(version: Version) -> Making:
    """What was recorded of the making; of an older version what its command tells."""
    lineage = version.manifest.lineage
    if isinstance(lineage.making, Making):
        return lineage.making
    words = lineage.command
    return Making(packing=words[words.index("pack") :] if "pack" in words else ())


def _lacking(version: Version, making: Making) -> Iterator[str]:
    lineage = version.manifest.lineage
    if not isinstance(lineage.making, Making):
        yield "the version is older than the recording of training command, seed and contents"
    if not making.packing:
        yield f"no command was recorded that packs it: {' '.join(lineage.command) or 'none at all'}"
    if not making.training:
        yield "no training command was recorded (retrain.command): only packing can be repeated"


def _tables(project: Project, version: Version) -> tuple[dict[str, Path], list[str]]:
    """The recorded tables by their path in the project, and what of them is not here as it was."""
    found: dict[str, Path] = {}
    missing = []
    for record in version.manifest.lineage.data:
        path = _table(project, record)
        if path is None:
            where = record.location or "its table"
            missing.append(f"the {record.role} table {record.digest[:19]} is not at {where}")
        else:
            found[path.relative_to(project.folder).as_posix()] = path
    return found, missing


def _table(project: Project, record: DataRecord) -> Path | None:
    """A file in the project with the digest of *record*: where the settings say, or by its name."""
    named = [project.settings.data.train, project.settings.data.test]
    places = [project.folder / str(name) for name in named if name]
    places += (
        sorted(project.folder.glob(f"**/{Path(record.location).name}")) if record.location else []
    )
    for path in places:
        inside = path.is_file() and path.is_relative_to(project.folder)
        if inside and digest_of_file(path) == record.digest:
            return path
    return None


class _Place:
    """Where the commands run: the code, the tables, an environment, and a store of its own."""

    def __init__(
        self, project: Project, version: Version, making: Making, folder: Path, temporary: Path
    ) -> None:
        self._project = project
        self._version = version
        self._making = making
        self._folder = folder
        self._temporary = temporary
        self._store = temporary / "store"
        self.environment = "the present one"
        self.changes: tuple[Change, ...] = ()
        self._python = self._interpreter()

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What is run, in this order."""
        training = tuple(self._making.training)
        if training and training[0] in {"python", "python3"}:
            training = (self._python, *training[1:])
        packing = (sys.executable, "-m", "shipway", *self._making.packing, "--json")
        return (training, packing) if training else (packing,)

    def furnish(self, tables: Mapping[str, Path]) -> None:
        """Put settings and contract of the version and the *tables* where they were."""
        files = self._project.registry.open_files(self._version)
        for name in (SETTINGS_IN_VERSION, CONTRACT_IN_VERSION):
            shutil.copyfile(files[name], self._folder / name)
        for name, path in tables.items():
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(path.absolute())

    def source_model(self) -> str:
        """Put the model file as it was packed in its place; what is lacking, or ""."""
        name = next((word for word in self._making.packing[1:] if not word.startswith("-")), "")
        wanted = self._version.manifest.lineage.source_model_digest
        path = self._project.folder / name
        if self._making.training:
            return ""
        if not name or not path.is_file() or digest_of_file(path) != wanted:
            return f"the model file {name or '?'} is not here as it was ({wanted[:19]})"
        shutil.copyfile(path, self._folder / name)
        return ""

    def run(self, command: Sequence[str]) -> None:
        """Run one command to its end, its output kept for when it fails."""
        parameters = json.dumps(self._version.manifest.lineage.parameters, sort_keys=True)
        seed = self._making.seed
        environ = {
            **self._project.environ,
            **_IN_FOLDER,
            "SHIPWAY_HOME": str(self._store),
            "SHIPWAY_PARAMETERS": parameters,
            "SHIPWAY_SEED": "" if seed is None else str(seed),
            "PYTHONHASHSEED": str((seed or 0) % 4294967295),
        }
        try:
            done = subprocess.run(
                list(command),
                cwd=self._folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise EnvironmentFailure(
                f"the recorded command {command[0]!r} cannot be run: {error.strerror}",
                next_step="install what it needs, then try again",
            ) from error
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines()[-_REPORTED_LINES:]
            raise EnvironmentFailure(
                f"the recorded command `{' '.join(command)}` failed: " + " | ".join(lines),
                next_step="run it by hand in the project's folder to see more",
            )

    def made(self) -> Candidate:
        """What was packed."""
        with open_registry(self._store, create=False) as registry:
            version = registry.resolve("latest", self._version.model)
            opened = registry.open_files(version)
            contents = {path: file.read_bytes() for path, file in opened.items()}
        return Candidate(version.manifest, contents)

    def _interpreter(self) -> str:
        files = self._project.registry.open_files(self._version)
        path = files.get(_REQUIREMENTS)
        if path is not None and is_locked(path.read_text(encoding="utf-8")):
            self.environment = "a fresh one, of what the version locks"
            return str(fresh_environment(path, self._temporary / "environment"))
        self.changes = tuple(self._changed())
        return sys.executable

    def _changed(self) -> Iterator[Change]:
        lineage = self._version.manifest.lineage
        versions = list(differences(lineage.packages, installed_packages()))
        named = {name for name, _, _ in versions}
        contents = differences(self._making.contents, installed_contents())
        inside = [one for one in contents if self._making.contents and one[0] not in named]
        for name, then, now in [*versions, *((name, a[:19], b[:19]) for name, a, b in inside)]:
            yield Change(name=name, then=then, now=now)
