"""Models that cannot be taken in, and models that do not fit the table."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from tests.acceptance.conftest import churn, fitted, refusal_of
from tests.projects import Project


def test_a_pickle_is_opened_only_for_who_says_that_it_is_trusted(
    project: Project, tmp_path: Path
) -> None:
    """Without --trust-pickle not one byte of it runs, and it is said what that would mean."""
    trace = tmp_path / "ran"
    joblib.dump(Runs(str(trace)), project.folder / "evil.joblib")
    for name in ("model.joblib", "evil.joblib"):
        error = refusal_of(project, "pack", name, says=("runs whatever code", "--trust-pickle"))
        assert error["code"] == "model.pickle-refused"
    assert not trace.exists()


class Runs:
    """A pickle that leaves a trace when it is opened."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_code_is_run_only_for_who_says_that_it_is_trusted(project: Project, tmp_path: Path) -> None:
    """Without --trust-code not one line of it runs, and it is said what that would mean."""
    trace = tmp_path / "ran"
    code = f"open({str(trace)!r}, 'w').close()\ndef predict(frame): return frame['age'] / 100\n"
    (project.folder / "serving.py").write_text(code)
    for what in ("serving.py:predict", "serving.py"):
        error = refusal_of(project, "pack", what, says=("packing it runs it", "--trust-code"))
        assert error["code"] == "model.code-refused"
    assert not trace.exists()
    (project.folder / "serving.py").write_text("def predict(frame): return frame['age'] / 100\n")
    done = project.json("pack", "serving.py:predict", "--trust-code", "--dry-run")
    assert (done["format"], done["parity"]) == ("python", None)


def test_code_must_pin_what_it_needs(project: Project) -> None:
    """Every line that leaves a version open is named."""
    (project.folder / "rule").mkdir()
    (project.folder / "rule" / "serving.py").write_text("def predict(frame): return frame['age']")
    (project.folder / "rule" / "requirements.txt").write_text("numpy\n# fine\npandas>=2\n")
    error = refusal_of(
        project,
        *("pack", "rule", "--entry", "serving:predict", "--trust-code"),
        says=("requirements.txt:1", "requirements.txt:3", "name==version"),
    )
    assert error["code"] == "model.unreadable"


def test_a_pickle_named_otherwise_is_refused_as_well(project: Project) -> None:
    """Content decides: a pickle called .onnx or .txt is still a pickle, and is not opened."""
    content = (project.folder / "model.joblib").read_bytes()
    for name in ("model.onnx", "model.txt", "model.skops", "model"):
        (project.folder / name).write_bytes(content)
        refusal_of(project, "pack", name, says=(name, "pickle"))


def test_a_model_of_a_package_that_is_not_there_names_the_package(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named, with the command that installs it."""
    module = ModuleType("absent_forecasts")
    kind = type("Forecaster", (), {"__module__": "absent_forecasts"})
    module.Forecaster = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "absent_forecasts", module)
    joblib.dump(kind(), project.folder / "absent.joblib")
    monkeypatch.delitem(sys.modules, "absent_forecasts")
    error = refusal_of(
        project,
        "pack",
        "absent.joblib",
        "--trust-pickle",
        code=4,
        says=("'absent_forecasts' is not installed", "pip install", "absent.joblib"),
    )
    assert error["code"] == "environment.missing-package"


@pytest.mark.parametrize("extra", ["sklearn", "lightgbm", "xgboost"])
def test_a_model_of_an_extra_that_is_not_installed_names_the_extra(
    project: Project, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    """Without the library of a model's kind, the extra that brings it is named."""
    name = saved(project.folder, extra)
    for module in [m for m in sys.modules if m.partition(".")[0] == extra]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, extra, None)  # importing it fails from here on
    error = refusal_of(project, "pack", name, "--trust-pickle", code=4, says=(f"shipway[{extra}]",))
    assert error["code"] == "environment.missing-package"


def saved(folder: Path, extra: str) -> str:
    """The name of a model file of the library that *extra* brings."""
    if extra == "sklearn":
        return "model.joblib"
    table = churn(200, seed=4)
    rows, truth = table.select("age", "fee").to_numpy(), table["churned"].to_numpy()
    if extra == "lightgbm":
        import lightgbm

        data = lightgbm.Dataset(rows, truth, params={"verbose": -1})
        settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
        lightgbm.train(settings, data, 2).save_model(folder / "model.txt")
        return "model.txt"
    import xgboost

    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(rows, truth), 2)
    booster.save_model(folder / "model.ubj")
    return "model.ubj"


def test_inputs_that_are_not_the_columns_are_named_all_at_once(project: Project) -> None:
    """Missing, extra and renamed inputs stand in one message, with the name that was meant."""
    table = churn(400, seed=3)
    features = pd.DataFrame(
        {
            "agee": table["age"].to_numpy(),
            "fee": table["fee"].to_numpy(),
            "visits": table["age"].to_numpy(),
        }
    )
    model = LogisticRegression(max_iter=500).fit(features, table["churned"].to_numpy())
    joblib.dump(model, project.folder / "other.joblib")
    error = refusal_of(
        project,
        "pack",
        "other.joblib",
        "--trust-pickle",
        says=("agee", "did you mean 'age'", "visits"),
    )
    assert error["code"] == "model.mismatch"


def test_a_model_of_unnamed_inputs_must_have_as_many_as_the_contract(project: Project) -> None:
    """A model fitted on a bare array of another width is refused with both widths."""
    table = churn(400, seed=3)
    model = LogisticRegression().fit(np.ones((400, 7)), table["churned"].to_numpy())
    joblib.dump(model, project.folder / "wide.joblib")
    refusal_of(project, "pack", "wide.joblib", "--trust-pickle", says=("7", "3"))


def test_a_model_of_another_task_is_refused(project: Project) -> None:
    """A regressor is no classifier, whatever the settings say."""
    table = churn(400, seed=3)
    frame = pd.DataFrame({name: table[name].to_numpy() for name in ("age", "fee")})
    frame["city"] = table["age"].to_numpy()
    joblib.dump(
        LinearRegression().fit(frame, table["fee"].to_numpy()), project.folder / "line.joblib"
    )
    refusal_of(project, "pack", "line.joblib", "--trust-pickle", says=("binary",))


def test_a_model_of_other_classes_is_refused(project: Project) -> None:
    """A model that says yes and no cannot be judged by a target of 0 and 1."""
    table = churn(400, seed=3)
    words = pl.Series(["no", "yes"]).gather(table["churned"])
    joblib.dump(fitted(table.with_columns(churned=words)), project.folder / "words.joblib")
    refusal_of(project, "pack", "words.joblib", "--trust-pickle", says=("'yes'", "the target"))


def test_a_contract_that_was_cut_off_does_not_fit_the_model(project: Project) -> None:
    """Half a contract is still YAML; the model's inputs give it away."""
    path = project.folder / "contract.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("- name: fee")], encoding="utf-8")
    done = project.call("check")
    assert done.code == 2
    assert "churned" in done.said
    refusal_of(project, "pack", "model.joblib", "--trust-pickle", says=("fee",))


def test_rows_that_break_the_contract_are_not_packed_on(project: Project) -> None:
    """Parity is proved on rows that keep the contract; others are named."""
    table = pl.read_parquet(project.folder / "train.parquet")
    table.with_columns(age=pl.lit("old")).write_parquet(project.folder / "other.parquet")
    error = refusal_of(
        project,
        *("pack", "model.joblib", "--trust-pickle", "--data", "other.parquet"),
        says=("age",),
    )
    assert error["code"] == "contract.violated"
