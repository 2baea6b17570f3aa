"""Files of a folder that somebody else made: read below it, and nowhere else.

Each part of a path is opened by itself and no link is followed, so that nothing that is put in
the folder, or exchanged while it is read, leads out of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from shipway.errors import ModelFileError, Problem
from shipway.registry.entries import path_fault

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_FILES = 10_000


class Folder:
    """An open folder; a context manager. The folder itself may be reached by a link."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = -1

    def __enter__(self) -> Self:
        try:
            self._root = os.open(self.path, _FOLDER & ~os.O_NOFOLLOW)
        except OSError as error:
            raise ModelFileError(
                f"{str(self.path)!r} is no folder that can be read: {error.strerror}",
                next_step="check the path and its permissions",
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._root)

    def names(self) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
        """The regular files by their path, sorted, and what in the folder is something else."""
        files: list[str] = []
        problems: list[Problem] = []
        for name, what in self._walk(self._root, ""):
            if what:
                problems.append(Problem("model.not-a-file", f"it is {what}", where=name))
            else:
                files.append(name)
            if len(files) + len(problems) > _MOST_FILES:
                text = f"it holds more than {_MOST_FILES:,} files"
                problems.append(Problem("model.too-large", text))
                break
        return tuple(sorted(files)), tuple(problems)

    def read(self, path: str, most_bytes: int) -> bytes:
        """The regular file *path*, of no more than *most_bytes*.

        Raises :class:`~shipway.errors.ModelFileError`.
        """
        fault = path_fault(path)
        if fault:
            raise self._refused(path, fault)
        *folders, name = path.split("/")
        folder = os.dup(self._root)
        try:
            for part in folders:
                inner = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            descriptor = os.open(name, _FILE, dir_fd=folder)
        except OSError as error:
            raise self._refused(path, error.strerror or str(error)) from error
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self._refused(path, "it is no plain file")
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise self._refused(path, f"it is larger than {most_bytes:,} bytes")
        return data

    def _walk(self, folder: int, above: str) -> Iterator[tuple[str, str]]:
        """Every entry that is no folder, by its path, and what it is unless a regular file."""
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = f"{above}{entry.name}"
            if entry.is_symlink():
                yield name, "a link"
            elif entry.is_dir(follow_symlinks=False):
                if name.count("/") > 32:  # nobody's model is that deep
                    yield name, "too deep"
                    continue
                with suppress(OSError):
                    inner = os.open(entry.name, _FOLDER, dir_fd=folder)
                    try:
                        yield from self._walk(inner, f"{name}/")
                    finally:
                        os.close(inner)
            else:
                yield name, "" if entry.is_file(follow_symlinks=False) else "no plain file"

    def _refused(self, path: str, why: str) -> ModelFileError:
        return ModelFileError(
            f"{path!r} in {str(self.path)!r} cannot be read: {why}",
            next_step="name a folder that holds the model's own files, and no links",
        )
