"""SQLite's own door to the system, its VFS, so that a watcher sees what SQLite reads and writes.

A VFS of our own is registered with the very library that Python's ``sqlite3`` is linked to. It
hands every call on to the one of the system, and each passes the watcher on the way; see
sqlite.org/c3ref/vfs.html and io_methods.html for the two structures. Of a Python that keeps its
SQLite to itself :func:`reachable` says so.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.survival.boundary import Step, Watcher, nothing

_FAILED = {
    "read": 266,  # SQLITE_IOERR_READ, and so on
    "write": 778,
    "sync": 1034,
    "truncate": 1546,
    "look": 1802,
    "unlink": 2570,
    "map": 5386,
    "lock": 3850,
    "open": 14,  # SQLITE_CANTOPEN
    "create": 14,
}
_FULL, _BUSY = 13, 5
_CREATE = 0x4
_JOURNALS = 0x800 | 0x4000 | 0x80000  # main journal, super-journal, write-ahead log
_INT, _I64, _PTR, _TEXT = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
_OPEN = ctypes.CFUNCTYPE(_INT, _PTR, _PTR, _PTR, _INT, _PTR)
_DELETE = ctypes.CFUNCTYPE(_INT, _PTR, _TEXT, _INT)
_CLOSE = ctypes.CFUNCTYPE(_INT, _PTR)
_MOVE = ctypes.CFUNCTYPE(_INT, _PTR, _PTR, _INT, _I64)
_CUT = ctypes.CFUNCTYPE(_INT, _PTR, _I64)
_FLAG = ctypes.CFUNCTYPE(_INT, _PTR, _INT)
_SIZE = ctypes.CFUNCTYPE(_INT, _PTR, _PTR)
_MAP = ctypes.CFUNCTYPE(_INT, _PTR, _INT, _INT, _INT, _PTR)
_SHARE = ctypes.CFUNCTYPE(_INT, _PTR, _INT, _INT, _INT)


_FOREVER: list[_Layer] = []
"""A connection that was forgotten open is closed whenever it is collected, through its layer."""


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", _INT),
        ("file_bytes", _INT),
        ("longest_path", _INT),
        ("next", _PTR),
        ("name", _TEXT),
        ("own", _PTR),
        ("open", _PTR),
        ("delete", _PTR),
        *((f"other_{index}", _PTR) for index in range(14)),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", _INT),
        ("close", _PTR),
        ("read", _PTR),
        ("write", _PTR),
        ("truncate", _PTR),
        ("sync", _PTR),
        ("size", _PTR),
        ("lock", _PTR),
        ("unlock", _PTR),
        ("reserved", _PTR),
        ("control", _PTR),
        ("sector", _PTR),
        ("traits", _PTR),
        ("map", _PTR),
        ("share", _PTR),
        ("barrier", _PTR),
        ("unmap", _PTR),
        ("fetch", _PTR),
        ("unfetch", _PTR),
    ]


def _library() -> ctypes.CDLL | None:
    try:
        import _sqlite3

        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_vfs_register.argtypes = [_PTR, _INT]
    except (ImportError, AttributeError, OSError):
        return None
    return library


def reachable() -> bool:
    """Whether the functions of the SQLite that Python uses can be called."""
    return _library() is not None


class _Layer:
    """One VFS over that of the system, and the methods of its files."""

    def __init__(self, root: Path, watcher: Watcher, system: Any) -> None:
        self._root, self._watcher, self._system = f"{root}/", watcher, system
        self._names: dict[int, str] = {}
        self._real: dict[int, _Methods] = {}
        self._fresh: set[int] = set()
        self._methods: dict[int, _Methods] = {}
        self._kept: list[Any] = []  # what C points to must stay
        self.vfs = _Vfs.from_buffer_copy(system.contents)
        self.vfs.name = f"watched-{id(self)}".encode()
        self.vfs.open = self._pointer(_OPEN, self._open)
        self.vfs.delete = self._pointer(_DELETE, self._delete)

    def _pointer(self, kind: Any, function: Callable[..., int]) -> int | None:
        made = kind(function)
        self._kept.append(made)
        return ctypes.cast(made, _PTR).value

    def _step(
        self,
        step: Step,
        do: Callable[[], int],
        half: Callable[[], object] = nothing,
    ) -> int:
        """What SQLite is told: what the system said, or the error that the watcher raised."""
        try:
            return self._watcher.around(step, do, half)
        except OSError as error:
            if error.errno == errno.ENOSPC and step.kind == "write":
                return _FULL
            if error.errno == errno.EAGAIN and step.kind == "lock":
                return _BUSY
            return _FAILED[step.kind]

    def _open(self, vfs: int, name: int, file: int, flags: int, out: int) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""

        def real() -> int:
            return int(_OPEN(self._system.contents.open)(self._at_system, name, file, flags, out))

        if not path.startswith(self._root):
            return real()
        fresh = bool(flags & _CREATE) and not os.path.lexists(path)
        slot = ctypes.cast(file, ctypes.POINTER(_PTR))

        def do() -> int:
            answer = real()
            if answer == 0 and slot[0]:
                self._names[file] = path
                if fresh and flags & _JOURNALS:
                    self._fresh.add(file)
                self._real[file] = ctypes.cast(slot[0], ctypes.POINTER(_Methods)).contents
                slot[0] = ctypes.addressof(self._ours(slot[0]))
            return answer

        kind = "create" if fresh else "open"
        answer = self._step(Step(layer="sqlite", kind=kind, path=path, key=file), do)
        if answer != 0 and file not in self._names:
            slot[0] = None  # SQLite closes what has methods
        elif answer != 0:
            self._close(file)
            slot[0] = None
        return answer

    @property
    def _at_system(self) -> int:
        return ctypes.addressof(self._system.contents)

    def _ours(self, address: int) -> _Methods:
        made = self._methods.get(address)
        if made is None:
            real = ctypes.cast(address, ctypes.POINTER(_Methods)).contents
            made = _Methods.from_buffer_copy(real)
            made.close = self._pointer(_CLOSE, self._close)
            made.read = self._pointer(_MOVE, self._read)
            made.write = self._pointer(_MOVE, self._write)
            made.truncate = self._pointer(_CUT, self._truncate)
            made.sync = self._pointer(_FLAG, self._sync)
            made.size = self._pointer(_SIZE, self._size)
            made.lock = self._pointer(_FLAG, self._lock)
            if real.version >= 2 and real.map:
                made.map = self._pointer(_MAP, self._map)
                made.share = self._pointer(_SHARE, self._share)
            self._methods[address] = made
        return made

    def _of(self, file: int, kind: str, *, offset: int = 0, data: bytes = b"") -> Step:
        return Step(
            layer="sqlite", kind=kind, path=self._names[file], key=file, offset=offset, data=data
        )

    def _close(self, file: int) -> int:
        real = self._real.pop(file)
        path = self._names.pop(file)
        self._fresh.discard(file)
        step = Step(layer="sqlite", kind="close", path=path, key=file)
        self._watcher.around(step, nothing, nothing)  # what close says is heard by nobody
        return int(_CLOSE(real.close)(file))

    def _read(self, file: int, buffer: int, count: int, at: int) -> int:
        real = self._real[file].read
        return self._step(
            self._of(file, "read", offset=at), lambda: int(_MOVE(real)(file, buffer, count, at))
        )

    def _write(self, file: int, buffer: int, count: int, at: int) -> int:
        real = self._real[file].write
        step = self._of(file, "write", offset=at, data=ctypes.string_at(buffer, count))
        return self._step(
            step,
            lambda: int(_MOVE(real)(file, buffer, count, at)),
            lambda: _MOVE(real)(file, buffer, count // 2, at),
        )

    def _truncate(self, file: int, size: int) -> int:
        real = self._real[file].truncate
        step = self._of(file, "truncate", offset=size)
        return self._step(step, lambda: int(_CUT(real)(file, size)))

    def _sync(self, file: int, flags: int) -> int:
        """The first sync of a new journal syncs its folder as well: the system's VFS does both."""
        real = self._real[file].sync
        answer = self._step(self._of(file, "sync"), lambda: int(_FLAG(real)(file, flags)))
        if answer == 0 and file in self._fresh:
            self._fresh.discard(file)
            self._synced_folder(self._names[file])
        return answer

    def _synced_folder(self, path: str) -> None:
        folder = str(Path(path).parent)
        step = Step(layer="sqlite", kind="sync", path=folder, folder=True)
        try:
            self._watcher.around(step, nothing, nothing)
        except OSError:
            return  # nor does SQLite mind

    def _size(self, file: int, out: int) -> int:
        real = self._real[file].size
        return self._step(self._of(file, "look"), lambda: int(_SIZE(real)(file, out)))

    def _lock(self, file: int, level: int) -> int:
        real = self._real[file].lock
        return self._step(self._of(file, "lock"), lambda: int(_FLAG(real)(file, level)))

    def _map(self, file: int, region: int, size: int, extend: int, out: int) -> int:
        real = self._real[file].map
        return self._step(
            self._of(file, "map"), lambda: int(_MAP(real)(file, region, size, extend, out))
        )

    def _share(self, file: int, offset: int, count: int, flags: int) -> int:
        real = self._real[file].share

        def do() -> int:
            return int(_SHARE(real)(file, offset, count, flags))

        unlocks = flags & 1
        return do() if unlocks else self._step(self._of(file, "lock"), do)

    def _delete(self, vfs: int, name: bytes, sync_folder: int) -> int:
        path = os.fsdecode(name)

        def real() -> int:
            return int(_DELETE(self._system.contents.delete)(self._at_system, name, sync_folder))

        if not path.startswith(self._root) or not os.path.lexists(path):
            return real()
        answer = self._step(Step(layer="sqlite", kind="unlink", path=path), real)
        if answer == 0 and sync_folder:
            self._synced_folder(path)
        return answer


@contextmanager
def sqlite_watched(root: Path, watcher: Watcher) -> Iterator[None]:
    """Let what SQLite does below *root* pass *watcher*, for connections made and closed within."""
    library = _library()
    assert library is not None, "ask reachable() first"
    system = library.sqlite3_vfs_find(None)
    layer = _Layer(root, watcher, system)
    _FOREVER.append(layer)
    library.sqlite3_vfs_register(ctypes.addressof(layer.vfs), 1)
    try:
        yield
    finally:
        library.sqlite3_vfs_register(ctypes.cast(system, _PTR), 1)
        library.sqlite3_vfs_unregister(ctypes.byref(layer.vfs))
