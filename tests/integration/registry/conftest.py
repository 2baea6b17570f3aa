"""A store on disk for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stores import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store, closed at the end."""
    made = Store(tmp_path / ".shipway")
    yield made
    made.registry.close()
