"""Where pages start: in an empty folder, beside a model file and tables, or in a whole project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from tests.docs.terminal import Terminal
from tests.projects import Flights

from shipway.examples.flights.data import TARGET, TIME

LIVED = datetime(2013, 4, 8, tzinfo=UTC)

Open = Callable[[str], Terminal]


@pytest.fixture
def open_terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a terminal in a fresh copy of a place; everything left running ends with the test."""
    opened: list[Terminal] = []

    def open_in(place: str) -> Terminal:
        folder = tmp_path / "flight-delay"
        if place == "an empty folder":
            folder.mkdir()
        else:
            _fill(request, place, folder)
        terminal = Terminal(folder, tmp_path / "aside")
        opened.append(terminal)
        return terminal

    yield open_in
    for terminal in opened:
        terminal.close()


def _fill(request: pytest.FixtureRequest, place: str, folder: Path) -> None:
    name = {"a folder with a model": "untouched", "a project": "flights"}[place]
    made: Flights = request.getfixturevalue(name)
    made.copy(folder)
    if place == "a folder with a model":
        (folder / "shipway.toml").unlink()
    week = made.later.filter(pl.col(TIME) < LIVED, pl.col(TARGET).is_not_null()).gather_every(3)
    week.write_parquet(folder / "data" / "april.parquet")
