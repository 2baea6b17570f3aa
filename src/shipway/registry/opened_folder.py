"""Where files of encrypted versions lie once they are opened: in memory, and this user's alone.

A model library loads from files. So what was decrypted is put into a file system that has no disk
(tmpfs), below a folder that nobody else can look into; it is gone when the machine stops.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from shipway.durable import private_folder, storing
from shipway.errors import ConfigError, StoreError

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_CHOICES = ("/dev/shm", "/run/shm")  # noqa: S108  who may look into our folder there is checked
_SAY = "name a folder in memory (tmpfs) of your own: encryption.opened_in"


def opened_folder(home: Path, opened_in: str = "") -> Path:
    """The folder for opened files of the store *home*, below *opened_in*; made by :func:`own`.

    Without *opened_in*, the system's own folder in memory. Raises
    :class:`~shipway.errors.ConfigError` where there is none.
    """
    above = Path(opened_in) if opened_in else _in_memory()
    store = hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:32]
    return above / f"shipway-{os.getuid()}" / store


def own(folder: Path) -> None:
    """Make *folder*, given by :func:`opened_folder`, and see that it is this user's alone.

    Raises :class:`~shipway.errors.StoreError` if it is a link, somebody else's, or open to others.
    """
    for path in (folder.parent, folder):
        with storing(path):
            private_folder(path)
        if not _is_own(path):
            raise StoreError(
                f"{path} is not a folder of this user alone: nothing is opened into it",
                next_step=f"remove it, or {_SAY}",
            )


def holds_opened(folder: Path) -> bool:
    """Whether this user may have opened anything into *folder*, given by :func:`opened_folder`.

    What somebody else has put in its place, a link to elsewhere say, is not to be touched.
    """
    return _is_own(folder.parent) and _is_own(folder)


def _is_own(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    closed = not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and closed


def _in_memory() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for name in (*_CHOICES, *([runtime] if runtime else [])):
        if kind_of(Path(name)) in _IN_MEMORY and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    raise ConfigError(
        "encrypted versions are opened in memory, and no folder in memory was found here"
        f" ({', '.join(_CHOICES)} or XDG_RUNTIME_DIR)",
        next_step=_SAY,
    )


def kind_of(path: Path) -> str:
    """The type of the file system that *path* is on, "" where the system does not tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts.splitlines():
        _, point, name, *_ = line.split(" ")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, name
    return kind
