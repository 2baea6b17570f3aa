"""Stands between the code and the system: every file operation below one folder passes here.

It replaces the functions of ``os``, ``fcntl.flock`` and the opening of file objects, so that a
:class:`Watcher` may see each operation, let it fail before or after its effect, or half-way. What
SQLite does passes in ``sqlite_layer`` to the same watcher, so that the two have one order.
``test_boundary`` compares with ``strace`` whether anything passes beside it.
"""

from __future__ import annotations

import fcntl
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

Result = TypeVar("Result")

CHANGING = frozenset(
    {"create", "write", "truncate", "sync", "rename", "unlink", "mkdir", "rmdir", "link"}
)
TAKES_SPACE = frozenset({"create", "write", "sync", "mkdir"})
"""What a full disk refuses; a sync as well, where blocks are allotted late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation: of the layer ``file`` or ``sqlite``, on *path*, through the handle *key*."""

    layer: str
    kind: str
    path: str
    key: int = -1
    offset: int = 0
    data: bytes = b""
    target: str = ""
    folder: bool = False

    @property
    def changes(self) -> bool:
        """Whether it leaves anything behind."""
        return self.kind in CHANGING

    def __str__(self) -> str:
        name = self.path if self.layer == "sql" else "/".join(Path(self.path).parts[-2:])
        return f"{self.layer} {self.kind} {name}"


class Watcher(Protocol):
    """Does each step, or does not."""

    def around(self, step: Step, do: Callable[[], Result], half: Callable[[], object]) -> Result:
        """What *do* gave; *half* does a part of a write and nothing of all else."""


def nothing() -> None:
    """Half of an operation that cannot be halved."""


class _Paths:
    """Which paths are watched, and which path and flags an open descriptor has."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._open: dict[int, tuple[str, int]] = {}

    def watched(self, path: object, dir_fd: int | None = None) -> str:
        """*path* in full if it is watched, else ""."""
        if isinstance(path, int):
            return self._open.get(path, ("", 0))[0]
        text = os.fsdecode(path) if isinstance(path, bytes) else str(path)
        if not text.startswith("/"):
            folder = os.getcwd() if dir_fd is None else self._open.get(dir_fd, ("", 0))[0]  # noqa: PTH109
            text = f"{folder}/{text}"
        return text if f"{text}/".startswith(self._root) else ""

    def appends(self, descriptor: int) -> bool:
        return bool(self._open.get(descriptor, ("", 0))[1] & os.O_APPEND)

    def opened(self, descriptor: int, path: str, flags: int) -> None:
        self._open[descriptor] = (path, flags)

    def closed(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def renamed(self, source: str, target: str) -> None:
        for descriptor, (path, flags) in self._open.items():
            if f"{path}/".startswith(f"{source}/"):
                self._open[descriptor] = (target + path[len(source) :], flags)


class _Boundary:
    """The replacements; the real ones are taken when it is made."""

    def __init__(self, root: Path, watcher: Watcher) -> None:
        self._paths = _Paths(root)
        self._watcher = watcher
        self._real: dict[str, Callable[..., Any]] = {
            name: getattr(os, name) for name in (*_LOOKS, *_ONE_PATH, *_TWO_PATHS, *_BY_DESCRIPTOR)
        }
        self._flock = fcntl.flock

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in _LOOKS:
            patch.setattr(os, name, self._one_path(name, "look"))
        for name, kind in _ONE_PATH.items():
            patch.setattr(os, name, self._one_path(name, kind))
        for name, kind in _TWO_PATHS.items():
            patch.setattr(os, name, self._two_paths(name, kind))
        for name in _BY_DESCRIPTOR:
            patch.setattr(os, name, getattr(self, f"_{name}"))
        patch.setattr(fcntl, "flock", self._lock)
        for name in ("builtins.open", "io.open", "tempfile._io.open"):
            patch.setattr(name, self._open_file)

    def _one_path(self, name: str, kind: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(path: Any = ".", *rest: Any, **options: Any) -> Any:
            found = self._paths.watched(path, options.get("dir_fd"))
            if not found:
                return real(path, *rest, **options)
            step = Step(layer="file", kind=kind, path=found, folder=kind in ("mkdir", "rmdir"))
            return self._watcher.around(step, lambda: real(path, *rest, **options), nothing)

        return call

    def _two_paths(self, name: str, kind: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(source: Any, target: Any, **options: Any) -> Any:
            found, other = self._paths.watched(source), self._paths.watched(target)
            if not (found or other):
                return real(source, target, **options)

            def do() -> None:
                real(source, target, **options)
                if kind == "rename":
                    self._paths.renamed(found, other)

            step = Step(layer="file", kind=kind, path=found, target=other)
            return self._watcher.around(step, do, nothing)

        return call

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def real() -> int:
            return int(self._real["open"](path, flags, mode, dir_fd=dir_fd))

        found = self._paths.watched(path, dir_fd)
        if not found:
            return real()
        fresh = flags & os.O_CREAT and not os.path.lexists(found)

        def do() -> int:
            descriptor = real()
            self._paths.opened(descriptor, found, flags)
            return descriptor

        kind = "create" if fresh else "open"
        return self._watcher.around(Step(layer="file", kind=kind, path=found), do, nothing)

    def _close(self, descriptor: int) -> None:
        found = self._paths.watched(descriptor)
        if not found:
            self._real["close"](descriptor)
            return
        self._paths.closed(descriptor)
        step = Step(layer="file", kind="close", path=found, key=descriptor)
        try:
            self._watcher.around(step, lambda: self._real["close"](descriptor), nothing)
        except OSError:
            # Linux gives the descriptor back whatever close() says.
            with suppress(OSError):
                self._real["close"](descriptor)
            raise

    def _write(self, descriptor: int, data: Any) -> int:
        return self._put(descriptor, bytes(data))

    def _writev(self, descriptor: int, parts: Any) -> int:
        return self._put(descriptor, b"".join(bytes(part) for part in parts))

    def _pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        real = self._real["pwrite"]
        found = self._paths.watched(descriptor)
        if not found:
            return int(real(descriptor, data, offset))
        content = bytes(data)
        step = Step(
            layer="file", kind="write", path=found, key=descriptor, offset=offset, data=content
        )
        return self._watcher.around(
            step,
            lambda: int(real(descriptor, content, offset)),
            lambda: real(descriptor, _half(content), offset),
        )

    def _put(self, descriptor: int, data: bytes) -> int:
        real = self._real["write"]
        found = self._paths.watched(descriptor)
        if not found:
            return int(real(descriptor, data))
        whence = os.SEEK_END if self._paths.appends(descriptor) else os.SEEK_CUR
        offset = os.lseek(descriptor, 0, whence)
        step = Step(
            layer="file", kind="write", path=found, key=descriptor, offset=offset, data=data
        )
        return self._watcher.around(
            step, lambda: int(real(descriptor, data)), lambda: real(descriptor, _half(data))
        )

    def _fsync(self, descriptor: int) -> None:
        found = self._paths.watched(descriptor)
        if not found:
            self._real["fsync"](descriptor)
            return
        step = Step(layer="file", kind="sync", path=found, key=descriptor)
        self._watcher.around(step, lambda: self._real["fsync"](descriptor), nothing)

    def _ftruncate(self, descriptor: int, size: int) -> None:
        found = self._paths.watched(descriptor)
        if not found:
            self._real["ftruncate"](descriptor, size)
            return
        step = Step(layer="file", kind="truncate", path=found, key=descriptor, offset=size)
        self._watcher.around(step, lambda: self._real["ftruncate"](descriptor, size), nothing)

    def _lock(self, descriptor: Any, operation: int) -> None:
        found = self._paths.watched(descriptor) if isinstance(descriptor, int) else ""
        if not found:
            self._flock(descriptor, operation)
            return
        step = Step(layer="file", kind="lock", path=found, key=descriptor)
        self._watcher.around(step, lambda: self._flock(descriptor, operation), nothing)

    def _open_file(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """As ``io.open`` is, over a raw file that passes here."""
        path = self._paths.watched(file)
        if opener is not None and not path:
            path = self._paths.watched(f"{file}/x") and f"{file}/temporary"
        raw_mode = mode.replace("t", "").replace("b", "")
        if not path:
            return _REAL_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _Raw(self, path, file, raw_mode, closefd, opener)
        if buffering == 0:
            return raw
        if "+" in mode:
            buffered: Any = io.BufferedRandom(raw)
        else:
            buffered = io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)


class _Raw(io.FileIO):
    """A raw file whose reads, writes and closing are steps."""

    def __init__(
        self, boundary: _Boundary, path: str, file: Any, mode: str, closefd: bool, opener: Any
    ) -> None:
        self._boundary, self._path = boundary, path
        begin = super().__init__
        if isinstance(file, int):
            begin(file, mode, closefd, opener)
            return
        fresh = "r" not in mode and not os.path.lexists(path)
        step = Step(layer="file", kind="create" if fresh else "open", path=path)
        try:
            boundary._watcher.around(step, lambda: begin(file, mode, closefd, opener), nothing)
        except OSError:
            with suppress(ValueError):  # it was opened, and that was not told
                super().close()
            raise
        boundary._paths.opened(self.fileno(), path, os.O_APPEND if "a" in mode else 0)

    def readinto(self, buffer: Any) -> int | None:
        return self._step("read", lambda: super(_Raw, self).readinto(buffer))

    def read(self, size: int | None = -1, /) -> bytes:
        return self._step("read", lambda: super(_Raw, self).read(-1 if size is None else size))

    def readall(self) -> bytes:
        return self._step("read", lambda: super(_Raw, self).readall())

    def write(self, data: Any, /) -> int:
        content = bytes(data)
        real = super().write
        step = Step(
            layer="file",
            kind="write",
            path=self._path,
            key=self.fileno(),
            offset=self.tell(),
            data=content,
        )
        return int(
            self._boundary._watcher.around(
                step, lambda: real(content), lambda: real(_half(content))
            )
            or 0
        )

    def close(self) -> None:
        if not self.closed and self.closefd:
            self._boundary._paths.closed(self.fileno())
        super().close()

    def _step(self, kind: str, do: Callable[[], Result]) -> Result:
        step = Step(layer="file", kind=kind, path=self._path, key=self.fileno())
        return self._boundary._watcher.around(step, do, nothing)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


_REAL_OPEN = io.open
_LOOKS = ("stat", "lstat", "listdir", "scandir")
_ONE_PATH = {"unlink": "unlink", "remove": "unlink", "mkdir": "mkdir", "rmdir": "rmdir"}
_TWO_PATHS = {"rename": "rename", "replace": "rename", "link": "link"}
_BY_DESCRIPTOR = ("open", "close", "write", "writev", "pwrite", "fsync", "ftruncate")


@contextmanager
def watched(root: Path, watcher: Watcher) -> Iterator[None]:
    """Let every operation of Python below *root* pass *watcher*; temporary files are there too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(root))
        _Boundary(root, watcher).install(patch)
        yield
