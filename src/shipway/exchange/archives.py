"""Archives that somebody else made: read in place or in memory, never unpacked onto a disk.

A file of an archive is taken only if it is a plain file with a path that a version may have, no
two of which are one file anywhere. So no link leads out, nothing is written over, and what grows
far beyond what was sent is given up while it grows.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from shipway.errors import ModelFileError, Problem, TooLarge
from shipway.exchange.limits import Limits
from shipway.registry.entries import path_problems
from shipway.registry.records import FileEntry

_GRACE_BYTES = 16 << 20
_MOST_GROWTH = 200
"""No model shrinks that far when it is packed; what grows so is made to fill a memory."""

_MOST_HEADER_BYTES = 1 << 20
_MOST_PROBLEMS = 20
_PIECE = 64 << 10
_NEXT = "make the archive again from the model's own plain files"


class ArchiveFiles:
    """The :class:`~shipway.exchange.layout.Files` of the tar archive at *path*, read in place."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._where = str(path)
        try:
            with path.open("rb") as file:
                limits.hold("bytes", file.seek(0, io.SEEK_END), self._where)
                file.seek(0)
                self._members = {
                    member.name: (member.offset_data, member.size)
                    for member in _members(_Headers(file, self._where), self._where, limits)
                }
        except OSError as error:
            raise _refused(self._where, error.strerror or str(error)) from error

    @property
    def paths(self) -> tuple[str, ...]:
        """What there is."""
        return tuple(self._members)

    def read(self, path: str, most_bytes: int) -> bytes:
        """See the protocol."""
        offset, size = self._members.get(path, (0, -1))
        if not 0 <= size <= most_bytes:
            raise _no_file(self._where, path, absent=size < 0)
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(size)


class UnpackedFiles:
    """The :class:`~shipway.exchange.layout.Files` of a tar archive that was compressed by gzip."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._where = str(path)
        try:
            with path.open("rb") as file:
                content = file.read(limits.bytes + 1)
        except OSError as error:
            raise _refused(self._where, error.strerror or str(error)) from error
        limits.hold("bytes", len(content), self._where)
        self._files = unpack(content, self._where, limits, compressed=True)

    @property
    def paths(self) -> tuple[str, ...]:
        """What there is."""
        return tuple(self._files)

    def read(self, path: str, most_bytes: int) -> bytes:
        """See the protocol."""
        found = self._files.get(path)
        if found is None or len(found) > most_bytes:
            raise _no_file(self._where, path, absent=found is None)
        return found


class FilesBelow:
    """Those of the archived *files* that lie where the only file called *name* does."""

    def __init__(self, files: ArchiveFiles | UnpackedFiles, name: str, where: str) -> None:
        found = [path for path in files.paths if path.rpartition("/")[2] == name]
        if len(found) != 1:
            raise _refused(where, f"it has {len(found)} files {name!r}")
        self._files = files
        self._above = found[0].removesuffix(name)

    def read(self, path: str, most_bytes: int) -> bytes:
        """See the protocol."""
        return self._files.read(f"{self._above}{path}", most_bytes)


def is_gzip(path: Path) -> bool:
    """Whether the file at *path* begins as gzip does."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def unpack(content: bytes, where: str, limits: Limits, *, compressed: bool) -> dict[str, bytes]:
    """The files of the tar archive *content*, by path; *where* it is from is for messages.

    Raises :class:`~shipway.errors.ModelFileError` with all that may not be in one, and
    :class:`~shipway.errors.TooLarge`.
    """
    plain = io.BytesIO(content)
    if compressed:
        plain = io.BytesIO(_inflated(content, where, limits))
    headers = _Headers(plain, where)
    found = {}
    for member in _members(headers, where, limits):
        plain.seek(member.offset_data)
        found[member.name] = plain.read(member.size)
    return found


def _inflated(content: bytes, where: str, limits: Limits) -> bytes:
    """What *content* (gzip) becomes, given up as soon as it is too much."""
    most = min(limits.expanded_bytes, _GRACE_BYTES + _MOST_GROWTH * len(content))
    inflater = zlib.decompressobj(wbits=31)
    grown = bytearray()
    try:
        for start in range(0, len(content), _PIECE):
            piece = content[start : start + _PIECE]
            while piece:
                grown += inflater.decompress(piece, _PIECE * 16)
                piece = inflater.unconsumed_tail
                if len(grown) > most:
                    limits.hold("expanded_bytes", len(grown), where)
                    raise TooLarge(
                        f"{where} becomes more than {_MOST_GROWTH} times as large when it is"
                        " unpacked, as nothing does but what is made to fill a memory",
                        next_step=_NEXT,
                    )
            if inflater.eof and (inflater.unused_data or start + _PIECE < len(content)):
                raise _refused(where, "something follows after its end")
    except zlib.error as error:
        raise _refused(where, f"it is no gzip archive, or damaged ({error})") from error
    if not inflater.eof:
        raise _refused(where, "it breaks off before its end")
    return bytes(grown)


class _Headers:
    """A file for tarfile: what looks like a header of a megabyte and more is not read."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file = file
        self._where = where
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        """No more than *size* bytes."""
        if not 0 <= size <= _MOST_HEADER_BYTES:
            raise _refused(self._where, "a header in it is larger than any name can be")
        return self._file.read(size)


def _members(file: _Headers, where: str, limits: Limits) -> Iterator[tarfile.TarInfo]:
    """The plain files of a tar archive, once all of it is found to be as it should."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:  # type: ignore[call-overload]
            found, problems = _sorted_out(archive, where, limits)
            end = archive.offset
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise _refused(where, f"it is no tar archive, or damaged ({error})") from error
    file.seek(0, io.SEEK_END)
    whole = file.tell()
    for member in found:
        if member.offset_data + member.size > whole:
            problems.append(Problem("model.unreadable", "it breaks off within", where=member.name))
    problems += _after(file, end, whole)
    entries = [FileEntry(path=m.name, digest="", size_bytes=m.size, media_type="") for m in found]
    problems += path_problems(entries)
    if problems:
        raise ModelFileError(
            f"{where} is refused: {len(problems)} of its entries may not be in it"
            if len(problems) > 1
            else f"{where} is refused: {problems[0].message}",
            next_step=_NEXT,
            problems=problems[:_MOST_PROBLEMS],
        )
    yield from found


def _sorted_out(
    archive: tarfile.TarFile, where: str, limits: Limits
) -> tuple[list[tarfile.TarInfo], list[Problem]]:
    """The plain files, and what is neither that nor a folder."""
    found: list[tarfile.TarInfo] = []
    problems: list[Problem] = []
    in_all = 0
    for entries, member in enumerate(archive, start=1):
        limits.hold("files", entries, where)
        what = _not_plain(member)
        if what:
            problems.append(Problem("model.not-a-file", f"{member.name[:200]!r} is {what}"))
        elif member.isreg():
            limits.hold("file_bytes", member.size, f"{member.name[:200]!r} in {where}")
            in_all += member.size
            limits.hold("expanded_bytes", in_all, where)
            found.append(member)
    return found, problems


def _not_plain(member: tarfile.TarInfo) -> str:
    """What *member* is that no file of a model is; "" for a plain file and for a folder."""
    if member.isreg() and member.issparse():
        return "a sparse file, which takes more room than it comes with"
    if member.isreg():
        return "a program that runs as somebody else (setuid)" if member.mode & 0o6000 else ""
    kinds = {
        tarfile.SYMTYPE: f"a link to {member.linkname[:200]!r}",
        tarfile.LNKTYPE: f"a hard link to {member.linkname[:200]!r}",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
        tarfile.FIFOTYPE: "a pipe",
        tarfile.DIRTYPE: "",
    }
    return kinds.get(member.type, "no plain file")


def _after(file: _Headers, end: int, whole: int) -> Iterator[Problem]:
    """What follows the end of the archive, where only zeros may."""
    file.seek(end)
    while end < whole:
        piece = file.read(min(_PIECE, whole - end))
        if not piece:
            return
        if piece.strip(b"\0"):
            yield Problem("model.unreadable", "something follows after its end")
            return
        end += len(piece)


def _refused(where: str, why: str) -> ModelFileError:
    return ModelFileError(f"{where} is refused: {why}", next_step=_NEXT)


def _no_file(where: str, path: str, *, absent: bool) -> ModelFileError:
    why = f"it has no file {path!r}" if absent else f"{path!r} is larger than it may be"
    return _refused(where, why)
