"""A small project that every kind of column is in, and what it looks like on the disk."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.projects import Project

CITIES = ("Berlin", "Lima", "Tunis")
ROWS = 1_200


def churn(rows: int, seed: int) -> pl.DataFrame:
    """Customers, and whether they left: older ones and those who pay much do."""
    random = np.random.default_rng(seed)
    age = random.integers(18, 90, rows)
    fee = np.round(random.gamma(4.0, 10.0, rows), 2)
    city = random.choice(CITIES, rows)
    risk = 0.08 * (age - 55) + 0.04 * (fee - 40) + (city == "Lima")
    churned = (random.random(rows) < 1 / (1 + np.exp(-risk))).astype(int)
    return pl.DataFrame({"age": age, "fee": fee, "city": city, "churned": churned})


def fitted(table: pl.DataFrame) -> object:
    """A logistic regression that learned from *table*, with its preparation."""
    frame = pd.DataFrame({name: table[name].to_numpy() for name in ("age", "fee", "city")})
    prepared = ColumnTransformer(
        [("city", OneHotEncoder(), ["city"]), ("numbers", StandardScaler(), ["age", "fee"])]
    )
    return make_pipeline(prepared, LogisticRegression()).fit(frame, table["churned"].to_numpy())


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two tables, a model file, settings and a contract; nothing is published. Only to be read."""
    folder = tmp_path_factory.mktemp("churn")
    train = churn(ROWS, seed=1)
    train.write_parquet(folder / "train.parquet")
    churn(ROWS, seed=2).write_parquet(folder / "test.parquet")
    joblib.dump(fitted(train), folder / "model.joblib")
    project = Project(folder)
    project.json("init", "--data", "train.parquet", "--test", "test.parquet", "--name", "churn")
    project.json("contract", "infer")
    return project


@pytest.fixture(scope="session")
def published(begun: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same with version 1 published, gated and live. Only to be read."""
    project = begun.copy(tmp_path_factory.mktemp("published"))
    project.json("pack", "model.joblib", "--trust-pickle")
    project.json("gate")
    project.json("promote", "1")
    return project


@pytest.fixture
def project(begun: Project, tmp_path: Path) -> Project:
    """A project of one's own in which nothing is published yet."""
    return begun.copy(tmp_path / "project")


@pytest.fixture
def live(published: Project, tmp_path: Path) -> Project:
    """A project of one's own with a live version."""
    return published.copy(tmp_path / "project")


@pytest.fixture
def refused() -> Callable[..., dict[str, object]]:
    """Runs a command that must be refused, as every refusal must be."""
    return refusal_of


def refusal_of(
    project: Project,
    *words: str,
    code: int = 2,
    says: tuple[str, ...] = (),
) -> dict[str, object]:
    """The error of a command that must end with *code* and change nothing in the folder.

    People are told the same as programs: what happened with every value in *says*, the code of
    the error, and what to do next. No traceback is shown.
    """
    before = tree(project.folder)
    told = project.call(*words)
    asked = project.call(*words, "--json")
    assert tree(project.folder) == before, f"{words} left something behind"
    assert (told.code, asked.code) == (code, code), told.said + asked.said
    assert "Traceback" not in told.said + asked.said
    error = asked.document["error"]
    assert error["exit_code"] == code
    assert error["next_step"]
    assert f"[{error['code']}]" in told.err
    assert "Next: " in told.err
    for text in says:
        assert text in told.err, told.err
    return dict(error)


def tree(folder: Path) -> dict[str, str]:
    """Every file under *folder* with the digest of its bytes.

    Left out is what a running server writes of its own accord, SQLite's scratch files, and the
    audit log, to which a refusal is told.
    """
    server = [folder / ".shipway" / name for name in ("run", "events", "audit")]
    server.append(folder / "server.log")
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(("-wal", "-shm", ".lock"))
        and not any(path.is_relative_to(own) for own in server)
    }


def _digest(path: Path) -> str:
    if path.is_dir():
        return "folder"
    content = path.read_bytes()
    if path.suffix == ".sqlite3" and content.startswith(b"SQLite"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            told = [line for line in database.iterdump() if '"audit_' not in line]
        content = "\n".join(told).encode()
    return hashlib.sha256(content).hexdigest()
