"""Models from MLflow and to MLflow, as MLflow itself writes and reads them."""

from __future__ import annotations

import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.acceptance.conftest import refusal_of
from tests.acceptance.test_trust import trusting
from tests.projects import Project

from shipway.domain.digests import digest_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own type hints, at import
    import mlflow.onnx
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import infer_signature

COLUMNS = ["age", "fee", "city"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What MLflow warns of is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def frame(begun: Project) -> pd.DataFrame:
    """The features of the test table."""
    table = pl.read_parquet(begun.folder / "test.parquet")
    return pd.DataFrame({name: table[name].to_list() for name in COLUMNS})


@pytest.fixture
def estimator(begun: Project) -> Any:
    """The trained pipeline."""
    return joblib.load(begun.folder / "model.joblib")


def saved(estimator: Any, frame: pd.DataFrame, folder: Path, **options: Any) -> Path:
    """The folder in which MLflow has saved *estimator*, its environment left out."""
    signature = infer_signature(frame, estimator.predict(frame))
    mlflow.sklearn.save_model(
        estimator, str(folder), signature=signature, pip_requirements=[], **options
    )
    return folder


def scores(project: Project, frame: pd.DataFrame) -> list[float]:
    """What the newest version of *project* answers to *frame*."""
    pl.DataFrame({name: frame[name].tolist() for name in frame}).write_parquet(
        project.folder / "asked.parquet"
    )
    project.json("score", "asked.parquet", "answers.parquet", "--version", "latest")
    return pl.read_parquet(project.folder / "answers.parquet")["score"].to_list()


def test_a_model_saved_as_skops_comes_in(
    project: Project, estimator: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """MLflow's own safe format becomes a version that answers as the pipeline does."""
    folder = saved(estimator, frame, tmp_path / "saved", serialization_format="skops")
    made = project.json("import", str(folder))
    assert made["version"]["number"] == 1
    assert made["parity"]["flipped"] == 0
    assert made["notes"][0].startswith(f"it was an MLflow {mlflow.__version__} model")
    expected = estimator.predict_proba(frame)[:, 1]
    assert np.allclose(scores(project, frame), expected, atol=1e-5)
    assert project.json("import", str(folder / "MLmodel"), "--dry-run")["version"] is None


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_of_one_comes_in(
    project: Project, estimator: Any, frame: pd.DataFrame, tmp_path: Path, mode: str
) -> None:
    """A tar archive, compressed or not, in which the model lies below a folder."""
    folder = saved(estimator, frame, tmp_path / "saved", serialization_format="skops")
    with tarfile.open(tmp_path / "model.tar", mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, "run/artifacts/model")
    assert project.json("import", str(tmp_path / "model.tar"))["version"]["number"] == 1


def test_a_pickle_comes_in_only_where_the_policy_lists_it(
    project: Project, estimator: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Its digest must stand in trust.pickle; a pattern of models is not enough."""
    folder = saved(estimator, frame, tmp_path / "saved", serialization_format="cloudpickle")
    digest = digest_of((folder / "model.pkl").read_bytes())
    error = refusal_of(project, "import", str(folder), says=("is a pickle", digest))
    assert error["code"] == "model.pickle-refused"
    named = [f"churn = key:{'0' * 64}"]
    trusting(project, identities=named, pickle=["churn"])
    refusal_of(project, "import", str(folder), says=("is a pickle",))
    trusting(project, identities=named, pickle=[digest])
    assert project.json("import", str(folder))["format"] == "onnx"


def test_an_onnx_model_comes_in(live: Project, frame: pd.DataFrame, tmp_path: Path) -> None:
    """The flavour onnx is taken as it is, and proved on real rows."""
    import onnx

    live.json("export", "churn@1", str(tmp_path / "ours"))
    graph = onnx.load(str(tmp_path / "ours" / "bundle" / "model.onnx"))
    mlflow.onnx.save_model(
        graph, str(tmp_path / "theirs"), pip_requirements=[], save_as_external_data=False
    )
    before = scores(live, frame)
    assert live.json("import", str(tmp_path / "theirs"))["version"]["number"] == 2
    assert np.allclose(scores(live, frame), before)


def test_columns_that_differ_are_all_told(
    project: Project, estimator: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A signature that is not the contract's is refused with each difference, and not opened."""
    folder = saved(estimator, frame, tmp_path / "saved", serialization_format="skops")
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(
        text.replace('"name": "age"', '"name": "years"').replace(
            '"type": "string", "name": "city"', '"type": "double", "name": "city"'
        )
    )
    error = refusal_of(project, "import", str(folder))
    assert len(error["problems"]) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flavors: {pytorch: {data: data}}", "its flavours are pytorch"),
        ("flavors: {python_function: {loader_module: os}}", "its flavours are python_function"),
        ("flavors: {sklearn: {pickled_model: ../model.joblib}}", "names no file of it"),
        ("flavors: {sklearn: {pickled_model: /etc/passwd}}", "names no file of it"),
        ("flavors: {sklearn: {}}", "names no file of it"),
        ("flavors: {sklearn: {pickled_model: link}}", "cannot be read"),
        ("flavors: {sklearn: {pickled_model: absent}}", "cannot be read"),
        ("flavors: {onnx: {data: model, save_as_external_data: true}}", "other files"),
        ("flavors: [", "MLmodel cannot be read"),
        ("[" * 10_000, "MLmodel cannot be read"),
        ("!!python/object/apply:os.system [id]", "MLmodel cannot be read"),
        ("flavors: {onnx: {data: MLmodel}}\nsignature: {inputs: '{'}", "signature cannot be read"),
        ("flavors: {xgboost: {data: MLmodel}}", "known format"),
    ],
)
def test_what_is_no_model_to_take_is_told(
    project: Project, tmp_path: Path, text: str, says: str
) -> None:
    """A directory that is none, or of a flavour that is not taken, is refused; nothing runs."""
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "link").symlink_to(project.folder / "model.joblib")
    (tmp_path / "given" / "MLmodel").write_text(text)
    refusal_of(project, "import", str(tmp_path / "given"), says=(says,))


@pytest.mark.parametrize("name", ["absent", ".", "train.parquet"])
def test_where_no_model_is_is_told(project: Project, name: str) -> None:
    """No directory, another directory, and another file."""
    refusal_of(project, "import", name)


def test_mlflow_loads_what_was_exported(
    live: Project, estimator: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """mlflow.pyfunc answers as the version does, and knows columns and answers by its signature."""
    made = live.json("export", "churn@churn", str(tmp_path / "out"), "--as", "mlflow")
    assert "MLmodel" in made["files"]
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "out"))
    answers = loaded.predict(frame)
    assert list(answers) == ["prediction", "score"]
    assert np.allclose(answers["score"], scores(live, frame))
    assert (answers["prediction"] == estimator.predict(frame)).mean() > 0.99
    assert loaded.metadata.metadata["shipway_version"] == "churn@1"
    assert loaded.metadata.get_input_schema().input_names() == COLUMNS
    assert loaded.metadata.get_output_schema().input_names() == list(answers)
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        loaded.predict(frame.drop(columns="fee"))
    with pytest.raises(ValueError, match="break the contract"):
        loaded.predict(frame.assign(fee=float("nan")))


def test_an_export_replaces_only_its_own(live: Project, tmp_path: Path) -> None:
    """The same version gives the same bytes; what is there goes by force, and only if it is one."""
    out = tmp_path / "out"

    def written() -> dict[str, bytes]:
        """What is in the folder."""
        return {str(path): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    live.json("export", "churn@1", str(out))
    first = written()
    refusal_of(live, "export", "churn@1", str(out), says=("already there",))
    live.json("export", "churn@1", str(out), "--force")
    assert written() == first
    refusal_of(live, "export", "churn@1", ".", "--force", says=("was not made by Shipway",))
