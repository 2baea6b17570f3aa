"""The bundle runs by itself, equals the server row by row, and notices every changed byte."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from shipway.contract.compiled import CompiledContract
from shipway.contract.schema import Column, Contract, Policy, Role
from shipway.domain.digests import digest_of
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import ConflictError, DigestMismatch, ModelError
from shipway.inference.decision import DecisionRule, predict_columns
from shipway.packaging.edge import EdgeBundle, build_bundle
from shipway.registry.records import FileEntry, Version
from shipway.runtimes.onnx import load

MISSING = "\ufdd0missing"
COLUMNS = (
    Column(name="x", kind=Kind.NUMBER, minimum=-5, maximum=1e6, out_of_range=Policy.REJECT),
    Column(name="y", kind=Kind.NUMBER, nullable=True),
    Column(
        name="n",
        kind=Kind.INTEGER,
        nullable=True,
        minimum=0,
        maximum=9,
        out_of_range=Policy.CLIP,
    ),
    Column(name="k", kind=Kind.INTEGER, categories=("1", "2"), unseen=Policy.REJECT),
    Column(name="b", kind=Kind.BOOLEAN, missing=Policy.IMPUTE, fill=True),
    Column(
        name="c",
        kind=Kind.STRING,
        nullable=True,
        categories=("UA", "AA"),
        unseen=Policy.IMPUTE,
        pattern="[A-Z]{2}",
        mismatched=Policy.IMPUTE,
        fill="AA",
    ),
    Column(name="at", kind=Kind.TIMESTAMP, role=Role.TIME, nullable=True),
    Column(name="day", kind=Kind.DATE, role=Role.GROUP, nullable=True),
    Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
)
CONTRACT = Contract(model="flight-delay", task=Task.BINARY, columns=COLUMNS)
MakeVersion = Callable[..., Version]


def graph() -> bytes:
    """A model over all kinds: the sigmoid of a sum, missing numbers counting nothing."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("n", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("k", TensorProto.INT64, [None, 1]),
        helper.make_tensor_value_info("b", TensorProto.BOOL, [None, 1]),
        helper.make_tensor_value_info("c", TensorProto.STRING, [None, 1]),
    ]
    nodes = [
        helper.make_node("IsNaN", ["n"], ["absent"]),
        helper.make_node("Where", ["absent", "zero", "n"], ["n_full"]),
        helper.make_node("IsNaN", ["y"], ["y_absent"]),
        helper.make_node("Where", ["y_absent", "zero", "y"], ["y_full"]),
        helper.make_node("Cast", ["k"], ["k_float"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["b"], ["b_float"], to=TensorProto.FLOAT),
        helper.make_node(
            "LabelEncoder",
            ["c"],
            ["c_float"],
            domain="ai.onnx.ml",
            keys_strings=["UA", "AA", MISSING],
            values_floats=[0.5, -0.5, 0.25],
            default_float=0.125,
        ),
        helper.make_node(
            "Sum", ["x", "y_full", "n_full", "k_float", "b_float", "c_float"], ["sum"]
        ),
        helper.make_node("Sigmoid", ["sum"], ["late"]),
        helper.make_node("Sub", ["one", "late"], ["punctual"]),
        helper.make_node("Concat", ["punctual", "late"], ["probabilities"], axis=1),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
    ]
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])
    made = helper.make_model(
        helper.make_graph(nodes, "toy", inputs, [output], constants),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


MODEL = graph()
SPEC = ModelSpec(
    format="onnx",
    task=Task.BINARY,
    inputs=tuple(InputSpec(c.name, c.kind, c.nullable) for c in CONTRACT.features),
    classes=(0, 1),
    main_file="model.onnx",
    options={"output": "probabilities", "layout": "columns", "missing_string": MISSING},
)


def with_model(version: Version, spec: ModelSpec = SPEC) -> Version:
    entry = FileEntry(
        path="model.onnx", digest=digest_of(MODEL), size_bytes=len(MODEL), media_type="x"
    )
    manifest = msgspec.structs.replace(version.manifest, spec=spec, files=(entry,), threshold=0.3)
    return msgspec.structs.replace(version, manifest=manifest)


@pytest.fixture
def bundle(tmp_path: Path, make_version: MakeVersion) -> EdgeBundle:
    version = with_model(make_version())
    return build_bundle(tmp_path / "edge", version=version, contract=CONTRACT, model=MODEL)


def module_of(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("edge_runner", folder / "runner.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bundle_is_complete_and_deterministic(
    tmp_path: Path, make_version: MakeVersion, bundle: EdgeBundle
) -> None:
    """Six files, each with its digest in the manifest, and the same bytes every time."""
    version = with_model(make_version())
    again = build_bundle(tmp_path / "again", version=version, contract=CONTRACT, model=MODEL)
    manifest = json.loads((bundle.folder / "manifest.json").read_text())
    on_disk = {path.name: digest_of(path.read_bytes()) for path in bundle.folder.iterdir()}
    assert on_disk.pop("manifest.json") == bundle.digest == again.digest
    assert on_disk == manifest["files"]
    assert set(on_disk) == {
        "README.md",
        "contract.json",
        "model.onnx",
        "requirements.txt",
        "runner.py",
    }
    pins = (bundle.folder / "requirements.txt").read_text().splitlines()
    assert {pin.split("==")[0] for pin in pins} >= {"numpy", "onnxruntime"}
    assert all("==" in pin for pin in pins)


VALUES = {
    "x": st.one_of(
        st.floats(), st.integers(-10, 10), st.none(), st.booleans(), st.text(max_size=3),
        st.integers(2**1024, 2**1025),
    ),
    "y": st.one_of(
        st.floats(), st.sampled_from([math.inf, -math.inf]), st.none(), st.booleans(),
        st.integers(2**1024, 2**1025),
    ),
    "n": st.one_of(
        st.none(), st.integers(-3, 12), st.integers(2**62, 2**64), st.floats(),
        st.just(3.0), st.just(1e300), st.just("3"),
    ),
    "k": st.one_of(st.sampled_from([1, 2, 1.0, 3, None, True, "1"]), st.integers()),
    "b": st.sampled_from([True, False, None, 1, 0.0, "true"]),
    "c": st.one_of(st.sampled_from(["UA", "AA", "", None, 1]), st.text(max_size=3)),
    "at": st.one_of(
        st.none(),
        st.datetimes().map(datetime.isoformat),
        st.sampled_from(["2013-04-01T12:00:00Z", "soon", "2013-04-01", 5]),
        st.just("0001-01-01T00:00+05:00"),
    ),
    "day": st.sampled_from([None, "2013-04-01", "2013-04-01T12:00:00Z", "x", 5]),
}  # fmt: skip
GOOD = {
    "x": st.one_of(st.floats(-5, 5), st.integers(-5, 5)),
    "y": st.one_of(st.none(), st.floats(-5, 5)),
    "n": st.one_of(st.none(), st.integers(-3, 12), st.just(float("nan"))),
    "k": st.sampled_from([1, 2, 2.0]),
    "b": st.booleans(),
    "c": st.sampled_from(["UA", "AA", "ZZ", "", None]),
}
# Good but for one value, so that each kind of fault is met alone.
SPOILED = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.fixed_dictionaries(
        {**GOOD, "at": st.none(), "day": st.none(), name: VALUES[name]}
    )
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """A runner of a bundle, and the server's own checker and model beside it."""
    folder = tmp_path_factory.mktemp("edge") / "bundle"
    from datetime import UTC

    from shipway.domain.objectives import Objectives
    from shipway.registry.records import Lineage, Manifest

    manifest = Manifest(
        model="flight-delay",
        task=Task.BINARY,
        spec=SPEC,
        objectives=Objectives(task=Task.BINARY, objectives=()),
        threshold=0.3,
        files=(),
        lineage=Lineage(),
    )
    version = with_model(
        Version(
            model="flight-delay",
            number=1,
            digest="sha256:" + "0" * 64,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            created_by="ada",
            manifest=manifest,
        )
    )
    build_bundle(folder, version=version, contract=CONTRACT, model=MODEL)
    runner = module_of(folder).Runner(folder)
    return runner, CompiledContract(CONTRACT), load(SPEC, {"model.onnx": folder / "model.onnx"})


@settings(max_examples=300, deadline=None)
@given(st.lists(SPOILED, min_size=1, max_size=4))
def test_the_runner_refuses_what_the_server_refuses(
    shared: tuple[Any, Any, Any], rows: list[dict[str, Any]]
) -> None:
    """Row by row, a value is refused at the edge if and only if the server refuses it."""
    runner, compiled, _ = shared
    faults, _ = runner.check(rows)
    checked = compiled.check_request({name: [row[name] for row in rows] for name in VALUES})
    assert set(faults) == {violation.row for violation in checked.violations}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.fixed_dictionaries(GOOD), min_size=1, max_size=5))
def test_the_runner_answers_what_the_server_answers(
    shared: tuple[Any, Any, Any], rows: list[dict[str, Any]]
) -> None:
    """For every good row the edge gives the server's prediction and score, to the last bit."""
    runner, compiled, model = shared
    checked = compiled.check_request({name: [row[name] for row in rows] for name in GOOD})
    assert checked.ok
    rule = DecisionRule.of(SPEC, threshold=0.3)
    decided = predict_columns(model, rule, checked.columns)
    answers = runner.predict(rows)
    assert [answer["score"] for answer in answers] == decided.scores.tolist()
    assert [answer["prediction"] for answer in answers] == decided.labels.tolist()


def test_arrays_are_the_same(shared: tuple[Any, Any, Any]) -> None:
    """The features become arrays of the same types and values as in the server."""
    runner, compiled, _ = shared
    rows: list[dict[str, Any]] = [
        {"x": 1, "y": None, "n": None, "k": 2.0, "b": True, "c": None},
        {"x": 0.1, "y": 2.5, "n": 3, "k": 1, "b": False, "c": "UA"},
    ]
    _, arrays = runner.check(rows)
    checked = compiled.check_request({name: [row[name] for row in rows] for name in GOOD})
    assert list(arrays) == list(checked.columns)
    for name, array in checked.columns.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_missing_column_is_a_fault(shared: tuple[Any, Any, Any]) -> None:
    """A row without a feature is refused even where the value may be missing."""
    runner, _, _ = shared
    faults, _ = runner.check([{"x": 1, "y": 0, "k": 1, "b": True, "c": "UA"}])
    assert faults == {0: ["n: the column is missing"]}


def run_bundle(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run the bundle as its README says, in a Python that cannot see Shipway, at a new home."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    hide = "import sys; sys.modules['shipway'] = None; import runpy; sys.argv = sys.argv[1:]; "
    return subprocess.run(
        [sys.executable, "-c", hide + "runpy.run_path(sys.argv[0], run_name='__main__')",
         str(folder / "runner.py"), name],
        capture_output=True, text=True, check=False,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
    )  # fmt: skip


def test_command_answers_csv_and_json_lines(bundle: EdgeBundle, tmp_path: Path) -> None:
    """Both formats give the same answers in order; a bad row is told and costs exit code 1."""
    table = tmp_path / "rows.csv"
    table.write_text(
        "x,y,n,k,b,c,more\n1.5,,,1,true,UA,z\n-2,0,3,2,False,,z\nbad,0,3,2,true,UA,z\n"
    )
    lines = tmp_path / "rows.jsonl"
    rows = [
        {"x": 1.5, "y": None, "n": None, "k": 1, "b": True, "c": "UA"},
        {"x": -2, "y": 0, "n": 3, "k": 2, "b": False, "c": None},
        {"x": "bad", "y": 0, "n": 3, "k": 2, "b": True, "c": "UA"},
    ]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    from_csv = run_bundle(bundle.folder, str(table))
    from_json = run_bundle(bundle.folder, str(lines))
    assert (from_csv.returncode, from_json.returncode) == (1, 1)
    assert from_csv.stderr == from_json.stderr == "row 2: x: 'bad' is not a valid number\n"
    header, *cells = [line.split(",") for line in from_csv.stdout.splitlines()]
    answers = [json.loads(line) for line in from_json.stdout.splitlines()]
    assert header == ["row", "prediction", "score"]
    assert [[int(c[0]), int(c[1]), float(c[2])] for c in cells] == [
        list(a.values()) for a in answers
    ]
    assert not list((tmp_path / "home").rglob("*")), "a library keeps or reports something"
    expected = 1 / (1 + math.exp(-(1.5 + 0 + 1 + 1 + 0.5)))
    assert answers[0]["score"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["contract.json", "model.onnx", "runner.py", "README.md"])
def test_changed_bytes_are_noticed(bundle: EdgeBundle, name: str) -> None:
    """A bundle with one changed byte is not opened, and the error says which file it is."""
    runner = module_of(bundle.folder)
    with (bundle.folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(runner.BundleDamaged, match=f"{name} differs"):
        runner.Runner(bundle.folder)


@pytest.mark.parametrize("name", ["contract.json", "model.onnx", "manifest.json"])
def test_lost_files_are_noticed(bundle: EdgeBundle, name: str) -> None:
    """A bundle without one of its files ends with exit code 4 and no traceback."""
    runner = module_of(bundle.folder)
    (bundle.folder / name).unlink()
    with pytest.raises(runner.BundleDamaged, match=f"{name} cannot be read"):
        runner.Runner(bundle.folder)
    assert runner.main(["rows.csv"]) == 4


def test_wrong_usage_is_told(bundle: EdgeBundle, tmp_path: Path) -> None:
    """A missing file is one line on stderr and exit code 2, without a traceback."""
    done = run_bundle(bundle.folder, str(tmp_path / "none.csv"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_only_onnx_goes_to_the_edge(tmp_path: Path, make_version: MakeVersion) -> None:
    """A version that is not ONNX is refused with what to do instead."""
    spec = msgspec.structs.replace(SPEC, format="lightgbm")
    with pytest.raises(ModelError, match="runs ONNX alone") as caught:
        build_bundle(
            tmp_path / "edge",
            version=with_model(make_version(), spec),
            contract=CONTRACT,
            model=MODEL,
        )
    assert "shipway image" in caught.value.next_step


def test_other_bytes_are_refused(tmp_path: Path, make_version: MakeVersion) -> None:
    """Bytes that are not those published make no bundle."""
    with pytest.raises(DigestMismatch):
        build_bundle(
            tmp_path / "edge",
            version=with_model(make_version()),
            contract=CONTRACT,
            model=MODEL + b"x",
        )
    assert not (tmp_path / "edge").exists()


def test_bundle_is_replaced_by_force_only(bundle: EdgeBundle, make_version: MakeVersion) -> None:
    """A bundle is not overwritten without force."""
    version = with_model(make_version())
    with pytest.raises(ConflictError):
        build_bundle(bundle.folder, version=version, contract=CONTRACT, model=MODEL)
    again = build_bundle(bundle.folder, version=version, contract=CONTRACT, model=MODEL, force=True)
    assert again.digest == bundle.digest
