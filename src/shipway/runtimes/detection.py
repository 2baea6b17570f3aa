"""Which format a model file is of, told by its bytes; its name may only agree.

Nothing here opens a model: no library is loaded and no code of the file runs. A file whose name
and bytes disagree is refused, because one of the two is a mistake and guessing hides it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from shipway.errors import ModelFileError

_HEAD_BYTES = 512
_ZIP = b"PK\x03\x04"
_UBJSON = b"{L\x00\x00\x00\x00"


class Format(StrEnum):
    """The formats of model files that are taken in."""

    ONNX = "ONNX"
    PICKLE = "pickle"
    SKOPS = "skops"
    LIGHTGBM = "LightGBM text"
    XGBOOST = "XGBoost"


_BY_SUFFIX: Mapping[str, Format] = MappingProxyType(
    {
        ".onnx": Format.ONNX,
        ".joblib": Format.PICKLE,
        ".pkl": Format.PICKLE,
        ".pickle": Format.PICKLE,
        ".skops": Format.SKOPS,
        ".txt": Format.LIGHTGBM,
        ".lgb": Format.LIGHTGBM,
        ".ubj": Format.XGBOOST,
        ".json": Format.XGBOOST,
    }
)

_TAKEN = "Shipway takes .onnx, .joblib and .pkl, .skops, LightGBM .txt, XGBoost .ubj and .json"

_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF", "an HDF5 file (Keras, most likely)", "export it to ONNX with tf2onnx"),
    (b"CBM1", "a CatBoost model", 'save it with save_model("model.onnx", format="onnx")'),
    (b"binf", "an XGBoost model in the old binary format", 'save it with save_model("model.ubj")'),
    (b"version https://git-lfs", "a Git LFS pointer, not the model", "run: git lfs pull"),
    (b"PAR1", "a Parquet table, not a model", "name the model's file"),
    (b"<?xml", "XML (PMML, perhaps)", "save the model from its own library"),
)

_Opener = Callable[[bytes], bytes]


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _HEAD_BYTES)


def _gunzip(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        return stream.read(_HEAD_BYTES)


def _bunzip(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, _HEAD_BYTES)


def _unxz(data: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(data, _HEAD_BYTES)


_COMPRESSED: tuple[tuple[bytes, _Opener], ...] = (
    (b"\x78", _inflate),
    (b"\x1f\x8b", _gunzip),
    (b"BZh", _bunzip),
    (b"\xfd7zXZ\x00", _unxz),
    (b"\x5d\x00\x00", _unxz),
)


def read_model_file(path: Path) -> tuple[bytes, Format]:
    """The bytes of the model file at *path* and the format that they are of.

    Raises :class:`~shipway.errors.ModelFileError` if the file is missing, empty, unknown, or not
    what its name says.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(
            f"there is no model file {str(path)!r}", next_step="check the path"
        ) from error
    except IsADirectoryError as error:
        raise ModelFileError(
            f"{str(path)!r} is a folder, not a model file", next_step=f"name one file: {_TAKEN}"
        ) from error
    except OSError as error:
        raise ModelFileError(
            f"{str(path)!r} cannot be read: {error.strerror}", next_step="check its permissions"
        ) from error
    return data, detect(data, path.name)


def check_declared(path: Path, declared: Format) -> None:
    """Return if the file at *path* is *declared*, by its bytes and by its name.

    A file of another format is nobody's to open: no other loader is tried. Raises
    :class:`~shipway.errors.ModelFileError`.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        whole = head.startswith((_ZIP, b"{")) and not head.startswith(_UBJSON)
        found = detect(head + file.read() if whole else head, path.name)
    if found is not declared:
        raise ModelFileError(
            f"{path.name!r} is declared as {declared}, but its bytes are {found}",
            next_step="pack the model again; this file is not the one that was packed",
        )


def detect(data: bytes, name: str) -> Format:
    """The format of *data*, which comes from a file called *name*.

    >>> detect(b"tree\\nversion=v4\\n", "model.txt").value
    'LightGBM text'
    """
    if not data:
        raise ModelFileError(f"{name!r} is empty", next_step="save the model again")
    found = _by_content(data, name)
    promised = _BY_SUFFIX.get(Path(name).suffix.lower())
    if found is None:
        what = f"not {promised} inside" if promised else "of no known format"
        raise ModelFileError(
            f"{name!r} is {what} (it begins with {data[:8]!r})",
            next_step=f"save the model again from its library; {_TAKEN}",
        )
    if promised not in (None, found):
        raise ModelFileError(
            f"{name!r} is named like {promised} but its bytes are {found}",
            next_step=f"rename it to end in {_suffix_of(found)} if {found} is what you meant",
        )
    return found


def _suffix_of(found: Format) -> str:
    return next(suffix for suffix, named in _BY_SUFFIX.items() if named is found)


def _by_content(data: bytes, name: str) -> Format | None:
    head = data[:_HEAD_BYTES]
    for magic, what, remedy in _FOREIGN:
        if head.startswith(magic):
            raise ModelFileError(f"{name!r} is {what}", next_step=f"{remedy}; {_TAKEN}")
    if head.startswith(_ZIP):
        return _by_members(data, name)
    if head.startswith(b"tree\n"):
        return Format.LIGHTGBM
    if head.startswith(_UBJSON) or _is_xgboost_json(data):
        return Format.XGBOOST
    if _is_pickle(head) or _is_compressed_pickle(data):
        return Format.PICKLE
    return Format.ONNX if _is_onnx(head) else None


def _by_members(data: bytes, name: str) -> Format | None:
    """What a ZIP archive is: skops is one, and so are the files of PyTorch and Keras."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ModelFileError(
            f"{name!r} is a damaged ZIP archive: {error}", next_step="copy or save it again"
        ) from error
    if "schema.json" in members:
        return Format.SKOPS
    if any(member.endswith("data.pkl") for member in members):
        raise ModelFileError(
            f"{name!r} is a PyTorch file",
            next_step=f"export the model with torch.onnx.export; {_TAKEN}",
        )
    return None


def _is_xgboost_json(data: bytes) -> bool:
    text = data[:_HEAD_BYTES].lstrip()
    return text.startswith(b"{") and b'"learner"' in data


def holds_pickle(data: bytes) -> bool:
    """Whether *data* is a pickle, as it is or compressed as joblib does."""
    return _is_pickle(data[:_HEAD_BYTES]) or _is_compressed_pickle(data)


def _is_pickle(head: bytes) -> bool:
    """Pickle protocols 2 to 5 begin with PROTO and their number; 0 and 1 are no longer met."""
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _is_compressed_pickle(data: bytes) -> bool:
    for magic, opener in _COMPRESSED:
        if data.startswith(magic):
            try:
                return _is_pickle(opener(data))
            except (zlib.error, OSError, EOFError, lzma.LZMAError):
                return False
    return False


def _is_onnx(head: bytes) -> bool:
    """Protobuf has no magic: field 1 (``ir_version``, a small number), then 2, 7 or 8 of it."""
    return (
        len(head) > 3 and head[0] == 0x08 and 1 <= head[1] <= 32 and head[2] in (0x12, 0x3A, 0x42)
    )
