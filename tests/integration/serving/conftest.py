"""A worker to call, and a whole server of processes to be cruel to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.frames_rig import FRAME, NUMBERS, Asking, FrameRouting
from tests.serving_processes import Processes, processes
from tests.serving_rig import World, eventually, running

from shipway.contract.schema import Contract


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker that asks for no key; shared by a module's tests."""
    with running(tmp_path_factory.mktemp("run")) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """A server of two models, one on frames and one on numbers."""
    yield from _asking(tmp_path_factory, FRAME, NUMBERS)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """A server of the frame's model alone, for the routes that name none."""
    yield from _asking(tmp_path_factory, FRAME)


def _asking(factory: pytest.TempPathFactory, *contracts: Contract) -> Iterator[Asking]:
    with running(factory.mktemp("run"), routing=FrameRouting(*contracts)) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        made = Asking(started)
        yield made
        made.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    """Starts servers in the test's folder; whatever is left of them at the end is killed."""
    with ExitStack() as stack:

        def begin(*, wait: bool = True, **options: Any) -> Processes:
            return stack.enter_context(processes(tmp_path, wait=wait, **options))

        yield begin
