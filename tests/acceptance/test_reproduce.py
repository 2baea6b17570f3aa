"""A version made once more: the same model, another one, or not all that it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.projects import Project

pytestmark = pytest.mark.needs("git")

SETTINGS = """
[model]
name = "late"
task = "binary-classification"
decision = "Warn"
target = "target"

[data]
train = "data/train.csv"
test = "data/test.csv"

[[objectives]]
metric = "roc_auc"
at_least = 0.5

[retrain]
command = "python train.py"
"""

TRAIN = """
import os
import joblib, numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
rows = pd.read_csv("data/train.csv")
noise = np.random.default_rng({seed}).normal(scale={scale}, size=len(rows))
model = LogisticRegression(C={strength}, random_state=7)
joblib.dump(model.fit(rows[["x", "y"]] + noise[:, None], rows["target"]), "model.joblib")
"""
STEADY = TRAIN.format(seed=1, scale=0.1, strength=1.0)


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=anna", "-c", "user.email=anna@example.org")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A repository whose training was changed and not committed, packed and gated by commands."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "data").mkdir()
    random = np.random.default_rng(0)
    for name, size in (("train", 400), ("test", 300)):
        frame = pl.DataFrame({"x": random.normal(size=size), "y": random.normal(size=size)})
        noise = pl.Series(random.normal(size=size))
        target = (frame["x"] + 0.5 * frame["y"] + noise > 0).cast(pl.Int64)
        frame.with_columns(target.alias("target")).write_csv(folder / "data" / f"{name}.csv")
    (folder / "shipway.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / ".gitignore").write_text("data/\n.shipway/\n*.joblib\n", encoding="utf-8")
    (folder / "train.py").write_text(STEADY.replace("C=1.0", "C=9.0"), encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    project = Project(folder)
    (folder / "train.py").write_text(STEADY, encoding="utf-8")
    published(project)
    return project


def published(project: Project) -> int:
    """Train, pack and gate what is in the folder; the number of the version."""
    project.call("contract", "infer", "--force")
    subprocess.run(
        [sys.executable, "train.py"], cwd=project.folder, check=True, capture_output=True
    )
    done = project.run("pack", "model.joblib", "--trust-pickle", "--json")
    assert done.returncode == 0, done.stderr
    project.call("gate")
    return int(msgspec.json.decode(done.stdout)["version"]["number"])


def reproduced(project: Project, number: int, *words: str) -> tuple[int, Any]:
    done = project.call("versions", "reproduce", str(number), *words, "--json")
    return done.code, msgspec.json.decode(done.out)


def test_the_same_model_comes_out(trained: Project) -> None:
    """From the commit, its uncommitted change and the recorded table the same bytes come out."""
    (trained.folder / "train.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    code, made = reproduced(trained, 1)
    assert (code, made["verdict"]) == (0, "pass"), made
    assert made["files"]
    assert [one for one in made["files"] if not one["same"]] == []
    assert made["changes"] == []
    assert made["lacks"] == []
    assert [command.split()[-1] for command in made["commands"]] == ["train.py", "--json"]
    lists = subprocess.run(
        ["git", "worktree", "list"], cwd=trained.folder, capture_output=True, text=True, check=True
    )
    assert len(lists.stdout.splitlines()) == 1
    assert "byte for byte" in trained.call("versions", "reproduce", "1").out


def test_what_is_recorded(trained: Project) -> None:
    """Training command, packing, seed, contents of packages and libraries are in the lineage."""
    home = trained.folder / ".shipway"
    from shipway.registry.opening import open_registry

    with open_registry(home) as registry:
        making = registry.version("late", 1).manifest.lineage.making
    assert not isinstance(making, msgspec.UnsetType)
    assert making.training == ("python", "train.py")
    assert making.packing == ("pack", "model.joblib", "--trust-pickle")
    assert making.seed == 7
    assert making.contents["scikit-learn"].startswith("sha256:")


@pytest.mark.parametrize(("scale", "code"), [(1e-9, 0), (3.0, 1)])
def test_a_training_that_is_not_steady(
    trained: Project, tmp_path: Path, scale: float, code: int
) -> None:
    """Other bytes pass where every metric is within the tolerance, and fail where one is not."""
    project = trained.copy(tmp_path)
    unsteady = TRAIN.format(seed="int.from_bytes(os.urandom(4))", scale=scale, strength=1.0)
    (project.folder / "train.py").write_text(unsteady, encoding="utf-8")
    number = published(project)
    found, made = reproduced(project, number, "--tolerance", "1e-6")
    assert found == code, made
    assert not all(one["same"] for one in made["files"])
    assert [one["name"] for one in made["metrics"]] == ["roc_auc"]


def test_a_table_that_is_not_what_it_was(trained: Project, tmp_path: Path) -> None:
    """With another training table nothing is run, and the verdict is undecided."""
    project = trained.copy(tmp_path)
    with (project.folder / "data" / "train.csv").open("a", encoding="utf-8") as table:
        table.write("0.0,0.0,1\n")
    code, made = reproduced(project, 1)
    assert (code, made["verdict"], made["commands"]) == (3, "undecided", [])
    assert any("train table" in lack for lack in made["lacks"])


def test_without_a_training_command(trained: Project, tmp_path: Path) -> None:
    """Without one only packing is repeated, from the model file as it was, and that is told."""
    project = trained.copy(tmp_path)
    text = SETTINGS.partition("[retrain]")[0]
    (project.folder / "shipway.toml").write_text(text, encoding="utf-8")
    (project.folder / "train.py").write_text(STEADY, encoding="utf-8")
    number = published(project)
    code, made = reproduced(project, number)
    assert code == 0, made
    assert any("only packing" in lack for lack in made["lacks"])
    (project.folder / "model.joblib").write_bytes(b"another")
    code, made = reproduced(project, number)
    assert (code, made["commands"]) == (3, [])
    assert any("model file model.joblib" in lack for lack in made["lacks"])


def test_a_command_that_fails(trained: Project, tmp_path: Path) -> None:
    """A recorded command that ends badly is told with its last lines, and nothing is left."""
    project = trained.copy(tmp_path)
    (project.folder / "train.py").write_text(STEADY, encoding="utf-8")
    with (project.folder / "train.py").open("a", encoding="utf-8") as script:
        script.write("if os.environ.get('SHIPWAY_SEED'): raise SystemExit('no luck')\n")
    number = published(project)
    done = project.call("versions", "reproduce", str(number))
    assert done.code == 4
    assert "no luck" in done.err
