"""Archives that did harm somewhere, each made by hand: a mapping of what it is to its bytes."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Mapping

Zipped = Mapping[str, bytes]
MANY = 100_001
_CENTRAL = b"PK\x01\x02"


def zips() -> Zipped:
    """ZIP archives in the place of a model's own code."""
    good = _zip(("source/serving.py", b"x = 1\n"))
    return {
        "an absolute path": _zip(("/etc/shipway", b"x")),
        "an absolute path within": _zip(("source//etc/shipway", b"x"), ("source/../../x", b"x")),
        "a path that climbs": _zip(("source/../../evil.py", b"x")),
        "a path that climbs at its end": _zip(("source/a/..", b"x")),
        "a path beside the source": _zip(("evil.py", b"x")),
        "a link": _zip(_special("source/link", stat.S_IFLNK, b"/etc/passwd")),
        "a link, then a file below it": _zip(
            _special("source/d", stat.S_IFLNK, b"/tmp"),
            ("source/d/evil.py", b"x"),
        ),
        "a device": _zip(_special("source/null", stat.S_IFCHR, b"")),
        "a pipe": _zip(_special("source/pipe", stat.S_IFIFO, b"")),
        "a socket": _zip(_special("source/socket", stat.S_IFSOCK, b"")),
        "a folder": _zip(_special("source/folder/", stat.S_IFDIR, b"")),
        "a name twice": _twice(),
        "a file that is a folder too": _zip(("source/a", b"x"), ("source/a/b", b"x")),
        "too many files": _zip(*((f"source/{n}", b"") for n in range(MANY))),
        "a bomb": _declaring(_zip(("source/zeros", bytes(1 << 20))), (4 << 30) - 2),
        "more than it declares": _declaring(_zip(("source/zeros", bytes(1 << 20))), 10),
        "cut short": good[: len(good) // 2],
        "no archive": b"PK\x03\x04" + bytes(60),
        "damaged data": _damaged(good),
        "a password": _flagged(good, 0x1),
        "an unknown compression": _method(good, 77),
    }


def tars(header: bytes, records: bytes) -> Mapping[str, tuple[bytes, str]]:
    """TAR archives in the place of a backup that begins with *header* and *records*, and why each
    is refused.
    """

    def begun(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
        return _tar((_file("shipway-backup.json"), header), (_file("records.jsonl"), records),
                    *members)  # fmt: skip

    kinds = {
        "a link": _kind("files/a", tarfile.SYMTYPE, "/etc/passwd"),
        "a hard link": _kind("files/a", tarfile.LNKTYPE, "/etc/passwd"),
        "a device": _kind("files/a", tarfile.CHRTYPE),
        "a block device": _kind("files/a", tarfile.BLKTYPE),
        "a pipe": _kind("files/a", tarfile.FIFOTYPE),
        "a folder": _kind("files/a", tarfile.DIRTYPE),
    }
    places = {
        "an absolute path": "/etc/shipway",
        "an absolute path within": "files//etc/shipway",
        "a path that climbs": "files/../../evil",
        "a path beside": "metadata.sqlite3",
    }
    other, twice = f"blobs/sha256/{'0' * 64}", ((_file("files/a"), b"x"), (_file("files/a"), b"y"))
    return {
        **{name: (begun((member, b"")), "is no plain file") for name, member in kinds.items()},
        **{name: (begun((_file(at), b"x")), "has no place") for name, at in places.items()},
        "a name twice": (begun(*twice), "cannot be read or written"),
        "a blob that is another": (begun((_file(other), b"x")), "is not what its name says"),
        "no end": (begun(), "ends too early"),
        "another beginning": (_tar((_file("records.jsonl"), records)), "where '"),
        "cut short": (begun((_file("files/a"), bytes(4096)))[:-6000], ""),
        "no archive": (bytes(2048), ""),
    }


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members:
            zipped.writestr(name, content)
    return buffer.getvalue()


def _special(name: str, kind: int, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (kind | 0o777) << 16
    return member, content


def _twice() -> bytes:
    made = _zip(("source/a.py", b"x"), ("source/b.py", b"y"))
    return made.replace(b"source/b.py", b"source/a.py")


def _damaged(made: bytes) -> bytes:
    """*made* with a block that deflate has no kind for at the beginning of its first file."""
    at = 30 + len("source/serving.py")
    return made[:at] + b"\xff" + made[at + 1 :]


def _central(made: bytes, offset: int, value: bytes) -> bytes:
    """*made* with *value* at *offset* of its first entry in the central directory."""
    at = made.rindex(_CENTRAL) + offset
    return made[:at] + value + made[at + len(value) :]


def _declaring(made: bytes, size: int) -> bytes:
    return _central(made, 24, struct.pack("<I", size))


def _flagged(made: bytes, flag: int) -> bytes:
    return _central(made, 8, struct.pack("<H", flag))


def _method(made: bytes, method: int) -> bytes:
    return _central(made, 10, struct.pack("<H", method))


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _file(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def _kind(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member
