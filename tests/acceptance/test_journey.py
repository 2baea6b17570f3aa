"""The whole life of a model by commands alone, in a folder with a model file and a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.projects import Project

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Story:
    """A data set, a model for it, and what `init` should guess."""

    load: Callable[..., Any]
    model: Any
    task: str
    metric: str
    suffix: str
    scores: tuple[str, ...]


STORIES = {
    "tumours": Story(
        load_breast_cancer,
        make_pipeline(StandardScaler(), LogisticRegression()),
        "binary-classification",
        "roc_auc",
        "parquet",
        ("score",),
    ),
    "diabetes": Story(
        load_diabetes, make_pipeline(StandardScaler(), Ridge()), "regression", "mae", "csv", ()
    ),
    "wine": Story(
        load_wine,
        RandomForestClassifier(20, random_state=0),
        "multiclass-classification",
        "accuracy",
        "csv",
        ("probability_0", "probability_1", "probability_2"),
    ),
}


@pytest.fixture(params=STORIES)
def story(request: pytest.FixtureRequest) -> tuple[str, Story]:
    """One of the three, with its name."""
    return request.param, STORIES[request.param]


def begin(folder: Path, told: Story) -> tuple[Project, pl.DataFrame]:
    """A folder with a training table, a test table and a pickled model; and the test rows."""
    folder.mkdir()
    frame = told.load(as_frame=True).frame.sample(frac=1, random_state=0)
    train, test = frame.iloc[::2], frame.iloc[1::2]
    told.model.fit(train.drop(columns="target"), train["target"])
    joblib.dump(told.model, folder / "model.joblib")
    for name, part in (("train", train), ("test", test)):
        table = pl.DataFrame({column: part[column].to_numpy() for column in part.columns})
        if told.suffix == "csv":
            table.write_csv(folder / f"{name}.csv")
        else:
            table.write_parquet(folder / f"{name}.parquet")
    return Project(folder), pl.DataFrame({c: test[c].to_numpy() for c in test.columns})


def step(project: Project, *words: str, again: tuple[str, ...] = (), code: int = 0) -> Any:
    """The document of a command, which is also told to people and names the next command.

    The command is run twice, as people and as programs do; *again* is added the second time.
    """
    told = project.call(*words)
    assert told.code == code, told.said
    assert told.err.rstrip().splitlines()[-1].startswith("Next: "), told.said
    asked = project.call(*words, *again, "--json")
    assert asked.code == code, asked.said
    assert "Traceback" not in told.said + asked.said
    return asked.document


def test_a_model_lives_its_whole_life(story: tuple[str, Story], tmp_path: Path) -> None:
    """From `init` to `doctor` each command does its part, and ends with the next to type."""
    name, told = story
    project, test = begin(tmp_path / name, told)
    folder, table = project.folder, f"test.{told.suffix}"
    made = step(
        project, "init", "--data", f"train.{told.suffix}", "--test", table, again=("--force",)
    )
    model = made["settings"]["model"]
    assert (model["name"], model["task"], model["target"]) == (name, told.task, "target")
    assert told.metric in [each["metric"] for each in made["settings"]["objectives"]["objectives"]]
    step(project, "contract", "infer", again=("--force",))
    for file in ("shipway.toml", "contract.yaml"):
        assert (folder / file).stat().st_mode & 0o777 == 0o666 & ~umask()
    assert not step(project, "check")["problems"]
    step(project, "contract", "show")
    step(project, "contract", "validate", table)
    packed = step(project, "pack", "model.joblib", "--trust-pickle")
    assert packed["version"]["number"] == 1
    assert packed["format"] == "onnx"
    assert packed["parity"]["flipped"] == 0
    assert step(project, "gate")["verdict"] == "pass"
    promoted = project.call("promote", "1")
    assert promoted.code == 0
    assert promoted.err.endswith("Next: shipway serve\n")
    truth = in_process(told, test)
    ask_and_label(project, told, test, truth)
    status = step(project, "status")
    assert (status["live"], status["server"]) == (1, None)
    step(project, "card")
    assert len(step(project, "versions")["versions"]) == 1
    step(project, "score", table, "scores.parquet")
    scores = pl.read_parquet(folder / "scores.parquet")
    if told.scores:
        given = scores.select(told.scores).to_numpy()
        np.testing.assert_allclose(given.squeeze(), truth, atol=TOLERANCE)
    else:
        np.testing.assert_allclose(scores["prediction"].to_numpy(), truth, rtol=TOLERANCE)
    step(project, "edge", "bundle", again=("--force",))
    on_the_edge(project, test, scores)
    step(project, "ci", "init", "github", "--model", "model.joblib", "--trust-pickle")
    assert (folder / ".github" / "workflows" / "shipway.yml").is_file()
    step(project, "doctor")


def umask() -> int:
    """The umask of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def in_process(told: Story, test: pl.DataFrame) -> NDArray[np.float64]:
    """What the trained model itself says: P(positive), P of each class, or the value."""
    frame = pd.DataFrame({c: test[c].to_numpy() for c in test.columns if c != "target"})
    if not told.scores:
        return np.asarray(told.model.predict(frame))
    chances = np.asarray(told.model.predict_proba(frame))
    return chances[:, 1] if told.scores == ("score",) else chances


def ask_and_label(
    project: Project, told: Story, test: pl.DataFrame, truth: NDArray[np.float64]
) -> None:
    """Serve, ask about every test row, add what was true, and look at the traffic."""
    key = project.new_key()
    with project.served():
        answer = step(project, "predict", f"test.{told.suffix}", "--key", key)
        ids = answer["outputs"]["prediction_id"]
        assert len(ids) == len(set(ids)) == test.height
        given = answer["outputs"].get("score") or answer["outputs"]["probabilities"]
        np.testing.assert_allclose(np.asarray(given), truth, rtol=TOLERANCE, atol=TOLERANCE)
        row = json.dumps(test.drop("target").row(0, named=True))
        assert project.json("predict", row, "--key", key)["rows"] == 1
        outcomes = pl.DataFrame({"prediction_id": ids, "target": test["target"]})
        outcomes.write_csv(project.folder / "outcomes.csv")
        assert step(project, "labels", "add", "outcomes.csv")["labels"] == test.height
        status = step(project, "status")
        assert len(status["workers"]) == 1
    monitored = project.call("monitor", "--json")
    assert monitored.code in (0, 1, 3), monitored.said
    (window,) = monitored.document["windows"]
    assert window["predictions"] == 2 * test.height + 1
    assert window["maturity"]["labelled"] == test.height
    told_to_people = project.call("monitor")
    assert told_to_people.code == monitored.code
    assert told_to_people.err.rstrip().splitlines()[-1].startswith("Next: ")


def on_the_edge(project: Project, test: pl.DataFrame, scores: pl.DataFrame) -> None:
    """The bundle's runner, which knows nothing of Shipway, predicts as `score` did."""
    test.drop("target").write_csv(project.folder / "rows.csv")
    done = subprocess.run(
        [sys.executable, "-I", "bundle/runner.py", "rows.csv"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = pl.read_csv(done.stdout.encode())
    assert "prediction" in table.columns or "label" in table.columns, table.columns
    label = "prediction" if "prediction" in table.columns else "label"
    np.testing.assert_allclose(
        table[label].cast(pl.Float64), scores["prediction"].cast(pl.Float64), rtol=TOLERANCE
    )


def test_init_never_asks_without_a_terminal(tmp_path: Path) -> None:
    """Where nobody can answer it says which option is missing, and writes nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "shipway", "init"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--data" in done.stderr
    assert not list(tmp_path.iterdir())


def onnx_of_others(folder: Path, rows: NDArray[np.float32], truth: NDArray[np.int64]) -> Any:
    """An ONNX file that another tool made, and what the model in it says."""
    from skl2onnx import to_onnx

    model = LogisticRegression(max_iter=5_000).fit(rows, truth)
    made = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=18)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return "model.onnx", model.predict_proba(rows)[:, 1]


def lightgbm_text(folder: Path, rows: NDArray[np.float32], truth: NDArray[np.int64]) -> Any:
    """A booster in LightGBM's own text, and what it says."""
    import lightgbm

    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(rows, truth, params={"verbose": -1})
    booster = lightgbm.train(settings, data, 20)
    booster.save_model(folder / "model.txt")
    return "model.txt", booster.predict(rows)


def xgboost_binary(folder: Path, rows: NDArray[np.float32], truth: NDArray[np.int64]) -> Any:
    """A booster in XGBoost's own binary JSON, and what it says."""
    import xgboost

    data = xgboost.DMatrix(rows, truth)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 20)
    booster.save_model(folder / "model.ubj")
    return "model.ubj", booster.predict(data)


@pytest.mark.parametrize("made", [onnx_of_others, lightgbm_text, xgboost_binary])
def test_a_file_of_another_library_is_served_as_it_is(
    made: Callable[..., Any], tmp_path: Path
) -> None:
    """No pickle is needed: ONNX, LightGBM and XGBoost files answer with their own scores."""
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    rows = data.data.astype(np.float32)
    file, truth = made(tmp_path, rows, data.target)
    table = pl.DataFrame({name: rows[:, place] for place, name in enumerate(names)})
    table = table.with_columns(target=pl.Series(data.target))
    table.write_parquet(tmp_path / "train.parquet")
    project = Project(tmp_path)
    words = ("--data", "train.parquet", "--test", "train.parquet", "--name", "tumours")
    project.json("init", *words)
    project.json("contract", "infer")
    project.json("pack", file)
    assert project.json("gate")["verdict"] == "pass"
    project.json("promote")
    key = project.new_key()
    with project.served():
        answer = project.json("predict", "train.parquet", "--key", key)
    np.testing.assert_allclose(answer["outputs"]["score"], truth, atol=TOLERANCE)
