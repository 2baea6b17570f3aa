"""Formats are told by their bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib
from collections.abc import Callable

import pytest

from shipway.errors import ModelFileError
from shipway.runtimes.detection import Format, detect

PICKLE = pickle.dumps({"a": 1})
ONNX = b"\x08\x0a\x12\x08skl2onnx"
LIGHTGBM = b"tree\nversion=v4\n"
UBJ = b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{"
JSON = b'{"learner":{"attributes":{}}}'


def _zip(*members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("m.onnx", ONNX, Format.ONNX),
        ("m.joblib", PICKLE, Format.PICKLE),
        ("m.PKL", PICKLE, Format.PICKLE),
        ("m.skops", _zip("schema.json", "1.npy"), Format.SKOPS),
        ("m.txt", LIGHTGBM, Format.LIGHTGBM),
        ("m.ubj", UBJ, Format.XGBOOST),
        ("m.json", JSON, Format.XGBOOST),
        ("model", LIGHTGBM, Format.LIGHTGBM),
        ("model.bin", UBJ, Format.XGBOOST),
    ],
)
def test_each_format_is_told_by_its_bytes(name: str, data: bytes, found: Format) -> None:
    """The bytes decide; a name that says nothing is no hindrance."""
    assert detect(data, name) is found


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_pickles_are_pickles(compress: Callable[[bytes], bytes]) -> None:
    """What joblib compresses is a pickle all the same."""
    assert detect(compress(PICKLE), "m.joblib") is Format.PICKLE


def test_name_and_bytes_must_agree() -> None:
    """A pickle called .onnx is refused, not opened as one or the other."""
    with pytest.raises(ModelFileError, match="named like ONNX but its bytes are pickle"):
        detect(PICKLE, "model.onnx")


@pytest.mark.parametrize(
    ("data", "message", "remedy"),
    [
        (b"\x89HDF\r\n\x1a\n", "HDF5", "tf2onnx"),
        (b"CBM1....", "CatBoost", 'format="onnx"'),
        (b"binf....", "old binary format", "save_model"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS", "git lfs pull"),
        (b"PAR1....", "Parquet", "model's file"),
        (_zip("archive/data.pkl"), "PyTorch", "torch.onnx.export"),
        (b"PK\x03\x04 cut off", "damaged ZIP", "again"),
        (b"", "empty", "save the model again"),
        (b"hello", "no known format", "Shipway takes"),
        (gzip.compress(b"hello", mtime=0), "no known format", "Shipway takes"),
    ],
)
def test_what_is_not_taken_is_named(data: bytes, message: str, remedy: str) -> None:
    """A file of another kind is called by its name, with the way out."""
    with pytest.raises(ModelFileError, match=message) as caught:
        detect(data, "model")
    assert remedy in caught.value.next_step
