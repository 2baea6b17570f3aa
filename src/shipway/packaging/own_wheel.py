"""A wheel of the Shipway that is running, made from its installed files.

An image must hold the very code that published the version, also from an editable install and
also where no build backend is at hand; so the archive (PEP 427) is written here, always the
same bytes for the same files.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

from packaging.utils import canonicalize_name

from shipway.errors import EnvironmentFailure

_EPOCH = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE = 0o100644 << 16
_METADATA_FILES = ("METADATA", "entry_points.txt")
_WHEEL = b"Wheel-Version: 1.0\nGenerator: shipway\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(distribution: Distribution, package: Path, folder: Path) -> Path:
    """Write the wheel of *distribution*, whose import package lies in *package*, into *folder*.

    Raises :class:`~shipway.errors.EnvironmentFailure` if the installed metadata is incomplete.
    """
    name = canonicalize_name(distribution.metadata["Name"]).replace("-", "_")
    stem = f"{name}-{distribution.version}"
    target = folder / f"{stem}-py3-none-any.whl"
    target.write_bytes(_archive(_entries(distribution, package, f"{stem}.dist-info"), stem))
    return target


def _entries(
    distribution: Distribution, package: Path, dist_info: str
) -> Iterator[tuple[str, bytes]]:
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"{package.name}/{path.relative_to(package).as_posix()}", path.read_bytes()
    for file in _METADATA_FILES:
        text = distribution.read_text(file)
        if text is None:
            raise EnvironmentFailure(
                f"the installed {distribution.name} has no {file}",
                next_step="install it anew with pip, then build the image again",
            )
        yield f"{dist_info}/{file}", text.encode()
    yield f"{dist_info}/WHEEL", _WHEEL


def _archive(entries: Iterable[tuple[str, bytes]], stem: str) -> bytes:
    record = f"{stem}.dist-info/RECORD"
    lines = []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f'"{name}",sha256={digest},{len(data)}\n')
            _add(archive, name, data)
        lines.append(f"{record},,\n")
        _add(archive, record, "".join(lines).encode())
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.external_attr = _REGULAR_FILE
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)
