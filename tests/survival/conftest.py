"""A folder that is kept in memory where the system has such, and the switch below it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.survival.injecting import Switch, switched

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where thousands of stores come and go: real syncs are not what is tested there."""
    if not os.access(_IN_MEMORY, os.W_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="shipway-", dir=_IN_MEMORY))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture
def switch(folder: Path) -> Iterator[Switch]:
    """What all operations below the folder pass."""
    with switched(folder) as made:
        yield made
