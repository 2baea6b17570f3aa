"""The source of a model's own code: read from a file or a folder, kept as one archive, unpacked.

The archive is a ZIP whose bytes depend on the files alone. What is unpacked can be read and not
written by the process that runs it.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shipway.errors import ModelFileError, Problem
from shipway.runtimes.confinement import NOBODY

MAIN_FILE = "model.zip"
REQUIREMENTS = "requirements.txt"
_INSIDE = "source/"
_NEVER_CARRIED = frozenset({"__pycache__", "node_modules", "venv"})
_LARGEST_BYTES = 2 << 30
_MOST_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Source:
    """Files by their path within the source, what is called in them, and what was left out."""

    files: Mapping[str, bytes]
    entry: str
    left_out: tuple[str, ...] = ()

    @property
    def modules(self) -> dict[str, bytes]:
        """The files that are Python."""
        return {path: data for path, data in self.files.items() if path.endswith(".py")}


def is_source(path: Path) -> bool:
    """Whether *path* means code: a folder, ``serving.py``, or ``serving.py:Model``."""
    return path.is_dir() or path.name.partition(":")[0].endswith(".py")


def read_source(path: Path, entry: str | None) -> Source:
    """The code at *path*: ``serving.py:Model`` alone, or a folder with all that is in it.

    *entry* is ``module:name`` within a folder. Hidden files and caches stay out of a folder's
    version: secrets and leftovers are what they mostly are. Raises
    :class:`~shipway.errors.ModelFileError`.
    """
    if path.is_dir():
        source = _read_folder(path, entry)
    else:
        name, colon, called = path.name.partition(":")
        file = path.with_name(name)
        given = f"{file.stem}:{called}" if colon else entry
        source = Source({name: _read(file)}, _checked_entry(given, str(path)))
    module = source.entry.partition(":")[0].replace(".", "/")
    if not {f"{module}.py", f"{module}/__init__.py"} & source.files.keys():
        raise ModelFileError(
            f"there is no module {module.replace('/', '.')!r} in {str(path)!r}",
            next_step="name the entry as module:name, the module as Python would import it",
        )
    return source


def _checked_entry(entry: str | None, where: str) -> str:
    module, _, name = (entry or "").partition(":")
    if all(part.isidentifier() for part in (*module.split("."), name)):
        return f"{module}:{name}"
    raise ModelFileError(
        f"it is not said which class or function of {where!r} predicts"
        if entry is None
        else f"{entry!r} names no class or function",
        next_step="write `shipway pack serving.py:Model`, or"
        " `shipway pack folder --entry serving:Model`",
    )


def _read_folder(folder: Path, entry: str | None) -> Source:
    entry = _checked_entry(entry, str(folder))
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    problems: list[Problem] = []
    size = 0
    for path, carried in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if not carried:
            left_out.append(name)
        elif path.is_symlink() or not path.is_file():
            problems.append(Problem("model.not-a-file", "it is a link or no plain file", name))
        elif (size := size + path.stat().st_size) <= _LARGEST_BYTES:
            files[name] = _read(path)
    if size > _LARGEST_BYTES:
        text = f"its files are {size:,} bytes together, and {_LARGEST_BYTES:,} are the most"
        problems.append(Problem("model.too-large", text))
    if problems:
        raise ModelFileError(
            f"the folder {str(folder)!r} cannot be a version",
            next_step="pack a folder that holds the code and its files, and nothing else",
            problems=problems,
        )
    return Source(files, entry, tuple(left_out))


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Everything below *folder* in order, and whether it is carried; what is not stays closed."""
    for path in sorted(folder.iterdir()):
        carried = not path.name.startswith(".") and path.name not in _NEVER_CARRIED
        if carried and path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path, carried


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{str(path)!r} cannot be read: {error.strerror}",
            next_step="check the path and its permissions",
        ) from error


def archive(files: Mapping[str, bytes]) -> bytes:
    """*files* as one ZIP, sorted, every member of 1980, the first year that a ZIP can tell."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(f"{_INSIDE}{name}")
            member.compress_type = zipfile.ZIP_DEFLATED
            zipped.writestr(member, content)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An archive on disk: ``source`` to be read, ``home`` empty and to be written to."""

    folder: Path

    @property
    def source(self) -> Path:
        """The files of the version."""
        return self.folder / "source"

    @property
    def home(self) -> Path:
        """What the process may write to."""
        return self.folder / "home"

    @classmethod
    def of(cls, data: bytes) -> Unpacked:
        """The archive *data*, unpacked into a folder of its own.

        Raises :class:`~shipway.errors.ModelFileError` for a damaged archive, or one with a member
        that would lie elsewhere.
        """
        _remove_orphans()
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        unpacked = cls(folder)
        try:
            unpacked.home.mkdir(mode=0o700)
            _unpack(data, unpacked.source)
            if os.geteuid() == 0:  # the process becomes nobody, and must get in
                os.chown(unpacked.home, NOBODY, NOBODY)
                os.chown(folder, 0, NOBODY)
            folder.chmod(0o750)
        except BaseException:
            unpacked.remove()
            raise
        return unpacked

    def remove(self) -> None:
        """Remove it; removing it again does nothing."""
        _remove(self.folder)


_PREFIX = "shipway-python-"


def _unpack(data: bytes, target: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as zipped:
            _check_members(zipped.infolist())
            for member in zipped.infolist():
                file = target / PurePosixPath(member.filename).relative_to(_INSIDE)
                file.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(member) as packed, file.open("xb") as written:
                    shutil.copyfileobj(packed, written)
                file.chmod(0o444)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        EOFError,
        FileExistsError,  # a name twice, or a file where a folder is
        NotADirectoryError,
        NotImplementedError,  # a compression that is not known
        RuntimeError,  # a password
        ValueError,
    ) as error:
        raise ModelFileError(
            f"the archive of the model's code is damaged: {error}",
            next_step="copy it again, or pack the model again",
        ) from error
    for folder in (target, *(one for one in target.rglob("*") if one.is_dir())):
        folder.chmod(0o555)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Raise BadZipFile for what no archive of ours has; no more comes out than is declared."""
    size = sum(member.file_size for member in members)
    if size > _LARGEST_BYTES or len(members) > _MOST_FILES:
        raise zipfile.BadZipFile(f"it holds {size:,} bytes in {len(members):,} files")
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        within = member.filename.startswith(_INSIDE)
        if not within or ".." in member.filename.split("/") or kind not in (0, stat.S_IFREG):
            raise zipfile.BadZipFile(f"it holds {member.filename!r}")


def _remove_orphans() -> None:
    """Remove what processes that were killed have left; theirs are known by the name."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and _is_ours(folder):
            _remove(folder)


def _is_ours(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
    except OSError:
        return False


def _remove(folder: Path) -> None:
    for below in (folder, *folder.rglob("*")):
        if below.is_dir() and not below.is_symlink() and _is_ours(below):
            below.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
