"""Threats from what a model or a request holds: objects that run code when they are built."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

import pytest
from tests.serving_rig import MODEL, eventually, post, running
from tests.stores import NOW, Store, files, manifest
from tests.unit.runtimes.test_formats import (
    CONTRACT,
    MAIN_FILES,
    archive_that_trusts,
    good,
    load,
    payloads,
)

import shipway
from shipway.errors import ModelFileError, PickleRefused
from shipway.runtimes import sklearn as sklearn_runtime
from shipway.runtimes.detection import detect
from shipway.runtimes.packing import pack
from shipway.runtimes.pickles import pickles_in
from shipway.runtimes.safety import trusted_types
from shipway.runtimes.unpickling import unpickle
from shipway.security.trust import Believed, TrustPolicy, check_pickles

OPENERS = frozenset(
    {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
)
RUNS = frozenset({"eval", "exec", "compile", "__import__", "execfile"})
MAKE_OBJECTS = frozenset(
    {"torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.Loader",
     "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader", "yaml.CUnsafeLoader"}
)  # fmt: skip
AUDITED = frozenset({"runtimes/unpickling.py"})
"""The one module that opens a pickle, for who says that it is trusted."""


def test_unsafe_deserialization_model(tmp_path: Path) -> None:
    """A model file that would run code runs nothing: not when it is published, opened, packed or
    loaded, whatever it is called and says of itself.
    """
    canary = tmp_path / "canary"
    made = payloads(canary)
    assert len(made) >= 30
    store = Store(tmp_path / "store")
    for name, data in made.items():
        for runtime in MAIN_FILES:
            with pytest.raises(
                ModelFileError, match=r"declared as|named like|known format|PyTorch"
            ):
                load(runtime, data, tmp_path)
        for suffix in ("pkl", "onnx", "bin"):
            path = tmp_path / f"model.{suffix}"
            path.write_bytes(data)
            with pytest.raises((ModelFileError, PickleRefused)):
                pack(path, CONTRACT, {}, threshold=0.5, positive=None)
        contents = {**files("a"), "model.onnx": data}
        version = store.registry.publish(manifest(contents), contents, by="eve", now=NOW)
        opened = store.registry.open_files(version)
        assert [path.split("/")[0] for path, _ in pickles_in(opened)] == ["model.onnx"], name
    assert len(store.registry.versions("flight-delay")) == len(made)
    store.registry.close()
    for actual, declared in (("sklearn", "onnx"), ("onnx", "sklearn"), ("lightgbm", "xgboost")):
        with pytest.raises(ModelFileError, match=r"declared as|named like"):
            load(declared, good(actual), tmp_path)
        with pytest.raises(ModelFileError, match="named like"):
            detect(good(actual), MAIN_FILES[declared])
    for name in ("os.system", "builtins.eval", "operator.methodcaller"):
        with pytest.raises(ModelFileError, match="not opened from a file"):
            trusted_types([name])
    module = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode",
              "content": {"function": "system", "module_path": "os"}}  # fmt: skip
    with pytest.raises(ModelFileError, match=r"os\.system"):
        sklearn_runtime.read(archive_that_trusts("os.system", schema=module))
    with pytest.raises(PickleRefused):
        unpickle(made["eval, protocol 4"], "model.pkl", trusted=False)
    assert not canary.exists()
    _pickles_need_all_three()


def _pickles_need_all_three() -> None:
    """A pickle is opened where somebody named signed it, it is listed, and it is confined."""
    pickle = ("model.pkl", f"sha256:{'1' * 64}")
    listing = TrustPolicy(pickle=(pickle[1],))
    named, nobody = Believed("key:1", named=True), Believed("key:1")
    check_pickles(listing, "m", [pickle], lambda: named, confined=True, what="m@1")
    for policy, believed, confined in (
        (listing, nobody, True),
        (TrustPolicy(), named, True),
        (listing, named, False),
    ):
        with pytest.raises(PickleRefused):
            check_pickles(
                policy, "m", [pickle], partial(_same, believed), confined=confined, what="m@1"
            )


def _same(believed: Believed) -> Believed:
    return believed


def test_unsafe_deserialization_wire(tmp_path: Path) -> None:
    """No request is read as a pickle, and no module of the product could: it imports nothing that
    opens one and runs no text, but for the one that is audited.
    """
    source = Path(shipway.__file__).parent
    found = {
        f"{path.relative_to(source).as_posix()}: {line}"
        for path in source.rglob("*.py")
        if path.relative_to(source).as_posix() not in AUDITED
        and "examples" not in path.relative_to(source).parts  # which plays the user
        for line in _dangers(ast.parse(path.read_text("utf-8")))
    }
    assert found == set()
    with running(tmp_path) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        for kind in (
            "application/x-pickle", "application/python-pickle", "application/octet-stream+pickle",
            "application/vnd.bentoml+pickle", "application/x-python-serialize", "text/x-pickle",
        ):  # fmt: skip
            for path in (
                f"/v2/models/{MODEL}/infer",
                f"/v1/models/{MODEL}:predict",
                "/invocations",
            ):
                reply = world.ask(post(path, b"\x80\x04N.", f"Content-Type: {kind}"))
                assert reply.status == 415, (kind, path, reply)


def _dangers(module: ast.Module) -> list[str]:
    """What of *module* opens what may run code, or runs text."""
    found = []
    for node in ast.walk(module):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
        found += [name for name in names if name in OPENERS]
        if isinstance(node, ast.Call) and ast.unparse(node.func) in RUNS:
            found.append(ast.unparse(node.func))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in MAKE_OBJECTS:
            found.append(ast.unparse(node))
    return found
