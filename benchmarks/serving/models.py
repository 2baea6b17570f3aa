"""The two models that are served: each as a live version of a project, and as a file for peers.

``python -m benchmarks.serving.models KIND FOLDER --quick`` makes one in a process of its own:
memory that the benchmark's process shares with the servers is memory they seem not to take.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from benchmarks.flights import Workshop
from benchmarks.serving.forms import grpc_message
from benchmarks.serving.kinds import FILE, Kind, Model, Table
from shipway.api.contract import infer_contract
from shipway.api.gate import gate
from shipway.api.keys import create_key
from shipway.api.pack import pack, publish
from shipway.api.promote import promote
from shipway.bootstrap.project import Project, open_project
from shipway.domain.model import DATATYPE_OF

_TREES = 100
_ROWS = 32
_TARGET = "malignant"
_SETTINGS = """\
[model]
name = "numeric"
task = "binary-classification"
target = "malignant"
positive = "1"

[data]
train = "train.parquet"
test = "test.parquet"

[[objectives]]
metric = "roc_auc"
at_least = 0.9
"""


def numeric(folder: Path) -> Model:
    """A hundred trees of scikit-learn's gradient boosting on 30 features (breast cancer)."""
    import joblib
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    folder.mkdir(parents=True, exist_ok=True)
    data = load_breast_cancer(as_frame=True)
    frame = data.data.rename(columns=lambda name: name.replace(" ", "_"))
    rows = pl.DataFrame(frame.to_dict("list")).with_columns(
        pl.Series(_TARGET, 1 - data.target.to_numpy())
    )
    rows[::2].write_parquet(folder / "train.parquet")
    rows[1::2].write_parquet(folder / "test.parquet")
    (folder / "shipway.toml").write_text(_SETTINGS, encoding="utf-8")
    early = frame.iloc[::2]
    model = GradientBoostingClassifier(n_estimators=_TREES, random_state=0)
    model.fit(early, rows[::2][_TARGET].to_numpy())
    joblib.dump(model, folder / "model.joblib")
    project = open_project(folder)
    infer_contract(project)
    candidate, _ = pack(project, folder / "model.joblib", trust_pickle=True)
    version = publish(project, candidate)
    gate(project, version)
    promote(project, "1", force=True, reason="a benchmark")
    asked = rows[::2].head(_ROWS)  # a row that breaks the contract takes longer to explain
    table = _table(project, asked.to_dict(as_series=False), matrix=True)
    return _model(Kind.NUMERIC, project, _plain_onnx(model, folder), table)


def flights(workshop: Workshop) -> Model:
    """The flights model of *workshop*: strings, whole numbers, missing values, and a time."""
    project = workshop.project
    files = project.registry.open_files(project.registry.version(project.model, 1))
    table = _table(project, workshop.columns(_ROWS, time=True), matrix=False)
    return _model(Kind.FLIGHTS, project, files["model.onnx"], table)


def main(kind: str, folder: Path, *, quick: bool) -> None:
    """Make the model of *kind* and tell of it in ``model.json``, all in *folder*."""
    project = folder / "project"
    made = numeric(project) if kind == Kind.NUMERIC else flights(Workshop(project, quick))
    (folder / FILE).write_bytes(msgspec.json.encode(made))


def _model(kind: Kind, project: Project, peer_file: Path, table: Table) -> Model:
    key = create_key(project, name="benchmark", scopes=("predict",))
    return Model(
        kind=kind,
        name=project.model,
        project=str(project.folder),
        run=str(project.home / "run"),
        key=key.secret,
        peer_file=str(peer_file),
        table=table,
        messages={rows: grpc_message(table.head(rows), project.model) for rows in (1, _ROWS)},
        bare_messages={rows: grpc_message(table.bare().head(rows), kind) for rows in (1, _ROWS)},
    )


def _table(project: Project, columns: dict[str, list[Any]], *, matrix: bool) -> Table:
    known = {column.name: column for column in project.contract.request_columns}
    features = {column.name for column in project.contract.features}
    chosen = {name: columns[name] for name in known if name in columns}
    datatypes = {name: DATATYPE_OF[known[name].kind] for name in chosen}
    return Table(columns=chosen, datatypes=datatypes, matrix=matrix, context=set(chosen) - features)


def _plain_onnx(model: Any, folder: Path) -> Path:
    """The model as people convert it by hand: one float tensor in, probabilities out."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    graph = to_onnx(
        model,
        initial_types=[("rows", FloatTensorType([None, model.n_features_in_]))],
        options={"zipmap": False},
    )
    path = folder / "plain.onnx"
    path.write_bytes(graph.SerializeToString())
    return path


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), quick="--quick" in sys.argv)
