"""How long the soak tests are: a minute's worth, or with ``SOAK=long`` (``make soak``) all."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

Value = TypeVar("Value")


@pytest.fixture
def scaled() -> Callable[[Value, Value], Value]:
    """Chooses between a short and a long form."""

    def choose(short: Value, long: Value) -> Value:
        return long if os.environ.get("SOAK") == "long" else short

    return choose
