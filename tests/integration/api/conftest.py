"""Small projects of every task, with columns of every kind, trained in a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.projects import Project

from shipway.domain.metrics import Task

OBJECTIVES = {
    Task.BINARY: """
[[objectives]]
metric = "roc_auc"
at_least = 0.6
better_than = "live"
margin = 0.05
""",
    Task.MULTICLASS: """
[[objectives]]
metric = "accuracy"
at_least = 0.4
better_than = "live"
margin = 0.05
""",
    Task.REGRESSION: """
[[objectives]]
metric = "mae"
at_most = 2.0
better_than = "live"
margin = 0.05
""",
}
NUMBERS = ["distance", "stops", "rain", "snow"]


def rows(n: int = 600, *, since: str = "2024-01-01", seed: int = 1) -> pl.DataFrame:
    """*n* rows, 17 minutes apart; ``delay`` is the truth that targets are made from."""
    random = np.random.default_rng(seed)
    start = datetime.fromisoformat(since).replace(tzinfo=UTC)
    city = random.choice(["EWR", "JFK", "LGA"], n)
    distance, rain = random.uniform(0, 100, n), random.random(n) < 0.3
    stops, snow = random.integers(0, 5, n), random.random(n) < 0.2
    here = random.random((2, n)) > 0.1
    delay = distance / 30 + rain + (city == "JFK") + random.normal(0, 1, n)
    return pl.DataFrame(
        {
            "city": city,
            "distance": distance,
            "stops": pl.Series(stops).set(pl.Series(~here[0]), None),
            "rain": rain,
            "snow": pl.Series(snow).zip_with(pl.Series(here[1]), pl.Series([None] * n)),
            "at": [start + timedelta(minutes=17 * row) for row in range(n)],
            "row_id": [f"r{row}" for row in range(n)],
            "delay": delay,
        }
    )


def text_of_delay(low: str = "low", middle: str = "middle", high: str = "high") -> pl.Expr:
    """Three classes of the delay."""
    delay = pl.col("delay")
    return (
        pl.when(delay < 1.5)
        .then(pl.lit(low))
        .when(delay < 3)
        .then(pl.lit(middle))
        .otherwise(pl.lit(high))
    )


def train(table: pl.DataFrame, task: Task, path: Path) -> None:
    """A pipeline trained on the rows of *table* whose target is known."""
    table = table.filter(pl.col("y").is_not_null())
    if table["y"].dtype.is_float():
        table = table.filter(pl.col("y").is_not_nan())
    frame = pd.DataFrame(
        {name: table[name].to_numpy() for name in ("city", "distance", "stops", "rain")}
    )
    frame["snow"] = table["snow"].cast(pl.Float64).to_numpy()
    prepare = ColumnTransformer(
        [
            ("words", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        ]
    )
    model = LinearRegression() if task is Task.REGRESSION else LogisticRegression()
    joblib.dump(make_pipeline(prepare, model).fit(frame, table["y"].to_numpy()), path)


Make = Callable[..., Project]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes or renews the project in the test's folder from tables with a target ``y``."""

    def of(
        task: Task, train_table: pl.DataFrame, test_table: pl.DataFrame, more: str = ""
    ) -> Project:
        for name, table in (("train", train_table), ("test", test_table)):
            table.drop("delay").write_parquet(tmp_path / f"{name}.parquet")
        train(train_table, task, tmp_path / "model.joblib")
        (tmp_path / "shipway.toml").write_text(
            f'[model]\nname = "m"\ntask = "{task}"\ntarget = "y"\ntime = "at"\nid = "row_id"\n'
            f'block = "day"\n{more}\n[data]\ntrain = "train.parquet"\ntest = "test.parquet"\n'
            f"{OBJECTIVES[task]}\n[monitor]\nmin_rows = 50\n"
        )
        project = Project(tmp_path)
        project.json("contract", "infer", "--force")
        return project

    return of
