"""A candidate's predictor, published or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.integration.api.conftest import rows

from shipway.api.candidate import opened
from shipway.api.pack import pack, publish
from shipway.api.project import open_project
from shipway.domain.metrics import Task
from shipway.inference.predictor import Predictor

if TYPE_CHECKING:
    from tests.integration.api.conftest import Make


def test_the_predictor_is_closed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened to judge a candidate holds nothing afterwards, whichever way it came."""
    closed: list[Predictor] = []

    def close(self: Predictor) -> None:
        closed.append(self)

    monkeypatch.setattr(Predictor, "close", close)
    table = rows().with_columns(y=(pl.col("delay") > 2.2).cast(pl.Int64))
    folder = make(Task.BINARY, table, table).folder
    with open_project(folder) as project:
        candidate, _ = pack(project, folder / "model.joblib", trust_pickle=True)
        for each in (candidate, publish(project, candidate)):
            with opened(each, project.registry) as predictor:
                assert closed == []
            assert closed == [predictor]
            closed.clear()
        with pytest.raises(ZeroDivisionError), opened(each, project.registry) as predictor:
            raise ZeroDivisionError
        assert closed == [predictor]
