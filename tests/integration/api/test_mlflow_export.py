"""What MLflow loads answers as the version does, for every task and every kind of column."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.integration.api.conftest import Make, rows, text_of_delay

from shipway.domain.metrics import Task

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own type hints, at import
    import mlflow.pyfunc

TARGETS = {
    Task.BINARY: (pl.col("delay") > 2).cast(pl.Int64),
    Task.MULTICLASS: text_of_delay(),
    Task.REGRESSION: pl.col("delay"),
}


def in_pandas(table: pl.DataFrame) -> pd.DataFrame:
    """*table* as people have it in pandas, None for what is missing."""
    return pd.DataFrame(
        {
            name: pd.Series(
                [value.replace(tzinfo=None) for value in table[name]]
                if name == "at"
                else table[name].to_list(),
                dtype=object if table[name].null_count() else None,
            )
            for name in table.columns
        }
    )


@pytest.mark.parametrize("task", TARGETS)
def test_every_task_and_kind(make: Make, tmp_path: Path, task: Task) -> None:
    """Missing whole numbers and booleans, times and optional columns: the same answers."""
    table = rows(seed=1).with_columns(y=TARGETS[task])
    project = make(task, table, rows(seed=2).with_columns(y=TARGETS[task]))
    project.json("pack", "model.joblib", "--trust-pickle")
    project.json("export", "m@1", "out")
    asked = rows(80, seed=3).drop("delay")
    asked.write_parquet(project.folder / "asked.parquet")
    project.json("score", "asked.parquet", "answers.parquet", "--version", "1")
    expected = pl.read_parquet(project.folder / "answers.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = mlflow.pyfunc.load_model(str(project.folder / "out"))
        answers = loaded.predict(in_pandas(asked))
        assert loaded.predict(in_pandas(asked.drop("at", "row_id"))).equals(answers)
    assert loaded.metadata.get_output_schema().input_names() == list(answers)
    assert set(answers) <= set(expected.columns)
    for name in answers:
        values = expected[name].to_list()
        if isinstance(values[0], float):
            assert np.allclose(answers[name], values)
        else:
            assert answers[name].tolist() == values
