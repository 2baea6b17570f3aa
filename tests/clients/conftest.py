"""A server that clients which others wrote can call: a frame of every kind of column, and a key."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.frames_rig import FRAME, NUMBERS, Cells, FrameRouting, Told, in_process, valid_rows
from tests.serving_rig import World, eventually, make_key, running

KEY, RECORD = make_key()


@dataclass(frozen=True)
class Called:
    """Where the server is, and what it must answer to the rows that it is asked."""

    world: World
    cells: Cells
    told: Told

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.world.port}"

    @property
    def headers(self) -> dict[str, str]:
        """A new dict each time: some clients add headers of their own to it."""
        return {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Called]:
    """A server of two models that asks for a key."""
    routing = FrameRouting(FRAME, NUMBERS, keys=[RECORD])
    run = tmp_path_factory.mktemp("run")
    with running(run, routing=routing, authentication=True) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        cells = valid_rows(FRAME, 30, random.Random(7), further=False)
        yield Called(world, cells, in_process(FRAME, cells))


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Called]:
    """A server of the frame alone that asks for none: some clients cannot send a key."""
    with running(tmp_path_factory.mktemp("run"), routing=FrameRouting(FRAME)) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        cells = valid_rows(FRAME, 30, random.Random(8), further=False)
        yield Called(world, cells, in_process(FRAME, cells))
