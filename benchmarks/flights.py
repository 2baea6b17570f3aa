"""The project that most benchmarks work on: the flights model, packed, gated and live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.figure import Stopwatch
from shipway.api.contract import infer_contract
from shipway.api.gate import gate
from shipway.api.pack import pack, publish
from shipway.api.promote import promote
from shipway.bootstrap.project import Project, open_project
from shipway.examples.flights.data import FEATURES, TARGET, TIME, load_flights
from shipway.examples.flights.story import LIVE_FROM, SETTINGS, TEST_FROM
from shipway.examples.flights.training import train

QUICK_SHARE = 4
"""A quick run trains on every so many flights."""


@dataclass
class Workshop:
    """What benchmarks share: the project in ``folder``, made when it is first asked for."""

    folder: Path
    quick: bool

    @property
    def watch(self) -> Stopwatch:
        """Half a second a figure, or a tenth when quick."""
        return Stopwatch(0.1 if self.quick else 0.5)

    @cached_property
    def flights(self) -> pl.DataFrame:
        """All flights of the year."""
        return load_flights()

    @cached_property
    def labelled(self) -> pl.DataFrame:
        """The flights that arrived."""
        return self.flights.filter(pl.col(TARGET).is_not_null())

    @cached_property
    def test(self) -> pl.DataFrame:
        """The labelled flights that the gate judges."""
        return self.labelled.filter(pl.col(TIME).is_between(TEST_FROM, LIVE_FROM, closed="left"))

    @property
    def model_file(self) -> Path:
        """The pickled pipeline."""
        return self.folder / "model.joblib"

    @cached_property
    def project(self) -> Project:
        """The project: version 1 of the flights model is gated and live."""
        data = self.folder / "data"
        data.mkdir(parents=True)
        early = self.labelled.filter(pl.col(TIME) < TEST_FROM)
        if self.quick:
            early = early.gather_every(QUICK_SHARE)
        early.write_parquet(data / "train.parquet")
        self.test.write_parquet(data / "test.parquet")
        train(early, self.model_file)
        (self.folder / "shipway.toml").write_text(SETTINGS, encoding="utf-8")
        project = open_project(self.folder)
        infer_contract(project)
        candidate, _ = pack(project, self.model_file, trust_pickle=True)
        done = publish(project, candidate)
        gate(project, done)
        promote(project, "1", force=True, reason="a benchmark")
        return project

    def columns(self, rows: int, *, time: bool = False) -> dict[str, list[Any]]:
        """The first *rows* flights of the test table as a request's columns of JSON scalars."""
        return scalars(self.test.head(rows), (*FEATURES, TIME) if time else FEATURES)

    def close(self) -> None:
        """Close the project if it was opened."""
        if "project" in self.__dict__:
            self.project.close()


def scalars(rows: pl.DataFrame, names: Sequence[str]) -> dict[str, list[Any]]:
    """*rows* as lists of JSON scalars by name, moments as RFC 3339 text."""
    texts = rows.select(names).with_columns(
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    return texts.to_dict(as_series=False)
