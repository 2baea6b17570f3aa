"""The gate as a pipeline sees it: by its exit code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.projects import Flights


@pytest.fixture
def gated(flights: Flights, tmp_path: Path) -> Flights:
    """A copy of the published project, so that gates leave their evidence in it alone."""
    return flights.copy(tmp_path / "project")


def test_a_good_test_set_passes_with_exit_code_0(gated: Flights) -> None:
    """Later days on which the objectives hold end with 0."""
    done = gated.run("gate", "--json")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_bad_test_set_fails_with_exit_code_1(gated: Flights) -> None:
    """Labels that have nothing to do with the flights end with 1, and the reasons are told."""
    table = pl.read_parquet(gated.folder / "data" / "test.parquet")
    shuffled = np.random.default_rng(0).permutation(table["late"].to_numpy())
    table.with_columns(late=pl.Series(shuffled)).write_parquet(gated.folder / "bad.parquet")
    done = gated.run("gate", "--data", "bad.parquet")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "roc_auc" in done.stdout


def test_a_small_test_set_is_undecided_with_exit_code_3(gated: Flights) -> None:
    """So few rows that nothing is certain end with 3, and it is said how many would decide."""
    table = pl.read_parquet(gated.folder / "data" / "test.parquet")
    few = pl.concat([table.filter(pl.col("late") == late).head(20) for late in (0, 1)])
    few.write_parquet(gated.folder / "few.parquet")
    done = gated.run("gate", "--data", "few.parquet", "--json")
    assert done.returncode == 3, done.stdout + done.stderr
