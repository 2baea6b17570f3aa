"""Only data is opened, and only as what it was declared: the cases of the table of threats.

"Unsafe deserialization (model)": a wrong name or wrong bytes must not fall back to another loader,
as they did in skops' model cards (CVE-2025-54886) and in Keras' ``.h5`` (CVE-2025-9905). The
payloads are inert: each would touch a file, and the file is never there.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import pickletools
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import ModelFileError, PickleRefused
from shipway.runtimes import sklearn as sklearn_runtime
from shipway.runtimes.loading import load_model
from shipway.runtimes.packing import pack
from shipway.runtimes.pickles import pickles_in
from shipway.runtimes.safety import POLICY, trusted_types
from shipway.runtimes.sources import archive

MAIN_FILES = {
    "onnx": "model.onnx",
    "sklearn": "model.skops",
    "lightgbm": "model.lightgbm.txt",
    "xgboost": "model.xgboost.ubj",
}


CONTRACT = Contract(
    model="churn",
    task=Task.BINARY,
    columns=(Column(name="a", kind=Kind.NUMBER, role=Role.FEATURE),),
)


class Touch:
    """Touches the canary when it is unpickled by *call*."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._reduced = (call, arguments)

    def __reduce__(self) -> Any:
        return self._reduced


def payloads(canary: Path) -> dict[str, bytes]:
    """Pickles that would run something, in the shapes in which they are met."""
    command, code = f"touch {canary}", f"open({str(canary)!r}, 'w')"
    calls: dict[str, Touch] = {
        "os.system": Touch(os.system, command),
        "subprocess": Touch(subprocess.call, ["touch", str(canary)]),
        "eval": Touch(eval, code),
        "exec": Touch(exec, code),
        "open": Touch(open, str(canary), "w"),
        "getattr": Touch(getattr, Touch(__import__, "os"), "sep"),
        "nested": Touch(pickle.loads, pickle.dumps(Touch(eval, code))),
        "base64": Touch(eval, Touch(base64.b64decode, base64.b64encode(code.encode()))),
    }
    shapes = {
        f"{name}, protocol {protocol}": pickle.dumps(touch, protocol)
        for name, touch in calls.items()
        for protocol in (2, 4, 5)
    }
    plain = pickle.dumps(calls["eval"], 4)
    buffer = io.BytesIO()
    joblib.dump(calls["eval"], buffer, compress=3)
    torch = io.BytesIO()
    with zipfile.ZipFile(torch, "w") as zipped:
        zipped.writestr("archive/data.pkl", plain)
    return {
        **shapes,
        "zlib": zlib.compress(plain),
        "gzip": gzip.compress(plain),
        "bzip2": bz2.compress(plain),
        "lzma": lzma.compress(plain),
        "joblib": buffer.getvalue(),
        "PyTorch": torch.getvalue(),
        "optimised": pickletools.optimize(plain),
        "several": plain + plain,
        "rest": plain + b"rest",
    }


NAMES = list(payloads(Path("canary")))


def spec_of(runtime: str) -> ModelSpec:
    return ModelSpec(
        format=runtime,
        task=Task.BINARY,
        inputs=(InputSpec("a", Kind.NUMBER),),
        classes=(0, 1),
        main_file=MAIN_FILES[runtime],
    )


def load(runtime: str, data: bytes, folder: Path) -> None:
    """Load *data* as a model of *runtime*, as a worker does."""
    path = folder / MAIN_FILES[runtime]
    path.write_bytes(data)
    load_model(spec_of(runtime), {MAIN_FILES[runtime]: path}).close()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("runtime", list(MAIN_FILES))
def test_unsafe_deserialization_no_runtime_opens_a_pickle(
    runtime: str, name: str, tmp_path: Path
) -> None:
    """A pickle in the place of a model of any format is refused, and what is in it never runs."""
    canary = tmp_path / "canary"
    with pytest.raises(ModelFileError):
        load(runtime, payloads(canary)[name], tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", ["pkl", "joblib", "onnx", "skops", "txt", "ubj", "h5", "bin"])
def test_unsafe_deserialization_packing_opens_no_pickle_unasked(
    suffix: str, name: str, tmp_path: Path
) -> None:
    """Whatever a pickle is called, packing it without --trust-pickle refuses and runs nothing."""
    canary, path = tmp_path / "canary", tmp_path / f"model.{suffix}"
    path.write_bytes(payloads(canary)[name])
    with pytest.raises((ModelFileError, PickleRefused)):
        pack(path, CONTRACT, {}, threshold=0.5, positive=None)
    assert not canary.exists()


def good(runtime: str) -> bytes:
    """Bytes that begin as a model of *runtime* does."""
    if runtime == "sklearn":
        return sklearn_runtime.save(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))[1]
    return {
        "onnx": b"\x08\x0a\x12\x08skl2onnx",
        "lightgbm": b"tree\nversion=v4\n",
        "xgboost": b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{",
    }[runtime]


@pytest.mark.parametrize("declared", list(MAIN_FILES))
@pytest.mark.parametrize("actual", list(MAIN_FILES))
def test_wrong_magic_must_not_fall_back_to_another_loader(
    declared: str, actual: str, tmp_path: Path
) -> None:
    """A whole model of one format is not opened as one of another, nor by the other's loader."""
    if declared == actual:
        return
    with pytest.raises(ModelFileError, match=r"is named like|is declared as"):
        load(declared, good(actual), tmp_path)


@pytest.mark.parametrize("runtime", list(MAIN_FILES))
@pytest.mark.parametrize(
    "data", [b"", b"\x89HDF\r\n\x1a\n" * 9, b"PK\x03\x04", b"<?xml?>", b"\x00" * 600, b"{}"]
)
def test_wrong_bytes_are_refused_before_a_library_sees_them(
    runtime: str, data: bytes, tmp_path: Path
) -> None:
    """Bytes of no format, of another, or cut off are refused as a damaged file, by each runtime."""
    with pytest.raises(ModelFileError):
        load(runtime, data, tmp_path)


def test_a_wrong_extension_is_refused_though_the_bytes_are_right(tmp_path: Path) -> None:
    """A file whose name promises another format than its manifest and its bytes is refused."""
    path = tmp_path / "model.onnx"
    path.write_bytes(good("sklearn"))
    with pytest.raises(ModelFileError, match="named like ONNX"):
        load_model(spec_of("sklearn"), {MAIN_FILES["sklearn"]: path})


def archive_that_trusts(*types: str, schema: dict[str, Any] | None = None) -> bytes:
    """A skops archive that says of itself that *types* are to be trusted."""
    members: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(good("sklearn"))) as zipped:
        members = {name: zipped.read(name) for name in zipped.namelist()}
    document = json.loads(members["schema.json"])
    document |= schema or {}
    document |= {"trusted": list(types), "trusted_types": list(types), "allowed": True}
    members["schema.json"] = json.dumps(document).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("shutil", "rmtree"),
     ("operator", "methodcaller"), ("functools", "reduce"), ("joblib", "load"),
     ("sklearn.utils", "shuffle"), ("numpy", "fromfile")],
)  # fmt: skip
def test_skops_trusted_types_come_from_our_policy_and_never_from_the_file(
    module: str, name: str
) -> None:
    """What a file names and says is trusted (CVE-2024-37065) is refused, by its name."""
    data = archive_that_trusts(
        f"{module}.{name}",
        schema={
            "__class__": name,
            "__module__": module,
            "__loader__": "FunctionNode",
            "content": {"function": name, "module_path": module},
        },
    )
    with pytest.raises(ModelFileError) as caught:
        sklearn_runtime.read(data)
    assert name in caught.value.message or "damaged" in caught.value.message


def test_skops_the_policy_is_by_library_version() -> None:
    """A type is opened in the versions of its library that were looked at, and in no other."""
    here = {"skops": "0.16.0", "scikit-learn": "1.9.1", "numpy": "2.4"}
    name = "sklearn.calibration._TemperatureScaling"
    assert trusted_types([name, "numpy.mean"], here) == ["numpy.mean", name]
    for version in ("1.7.2", "1.10.0", "2.0"):
        with pytest.raises(ModelFileError, match="the policy knows them of scikit-learn") as caught:
            trusted_types([name], {**here, "scikit-learn": version})
        assert version in caught.value.message
    with pytest.raises(ModelFileError, match="and none is installed"):
        trusted_types(["xgboost.core.Booster"], here)
    for version in ("0.9", "0.12.0", "1.0"):
        with pytest.raises(ModelFileError, match=r"with >=0\.13,<1 alone"):
            trusted_types([], {**here, "skops": version})


def test_skops_no_type_of_the_policy_is_one_that_runs_what_it_is_given() -> None:
    """Nothing of the policy is a function that takes code, files or programs."""
    names = {name for rule in POLICY for name in rule.types}
    forbidden = ("os.", "sys.", "builtins.", "subprocess.", "operator.", "importlib.", "pickle.",
                 "joblib.", "shutil.", "numpy.load", "numpy.fromfile")  # fmt: skip
    assert not [name for name in names if name.startswith(forbidden)]


@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_is_found_wherever_it_lies(name: str, tmp_path: Path) -> None:
    """As a file, within an archive of code, and within an archive in that: it is named."""
    data = payloads(tmp_path / "canary")[name]
    plain, inside = tmp_path / "weights", tmp_path / "model.zip"
    plain.write_bytes(data)
    inside.write_bytes(archive({"serving.py": b"", "data/weights": data}))
    found = [path for path, _ in pickles_in({"weights": plain, "model.zip": inside})]
    assert len(found) == 2
    assert found[0].startswith("model.zip/source/data/weights")
    assert found[1].startswith("weights")
    assert not (tmp_path / "canary").exists()


def test_data_is_not_taken_for_a_pickle(tmp_path: Path) -> None:
    """Models, tables, text and arrays are none; what is called a pickle is one, whatever is in."""
    array = io.BytesIO()
    np.save(array, np.arange(9.0))
    contents = {
        "model.onnx": good("onnx"),
        "model.skops": good("sklearn"),
        "a.npy": array.getvalue(),
        "contract.yaml": b"columns: []\n",
        "model.zip": archive({"serving.py": b"import pickle\n"}),
        "old.pkl": b"(dp0\n.",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = pickles_in({name: tmp_path / name for name in contents})
    assert [name for name, _ in found] == ["old.pkl"]
