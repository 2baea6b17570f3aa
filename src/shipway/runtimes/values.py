"""Values of foreign libraries as plain JSON scalars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from shipway.domain.events import Scalar


def plain_scalar(value: Any) -> Scalar:
    """*value* as a JSON scalar: numpy numbers become Python's, whole floats become integers."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | float | bool) else str(value)


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Scalar]:
    """The hyperparameters that are plain values; objects (steps, estimators) are left out.

    NaN and infinity, which JSON cannot carry, become their names.
    """
    plain: dict[str, Scalar] = {}
    for name, value in sorted(parameters.items()):
        if isinstance(value, np.generic):
            value = value.item()  # noqa: PLW2901
        if isinstance(value, float) and not math.isfinite(value):
            plain[name] = str(value)
        elif value is None or isinstance(value, str | int | float | bool):
            plain[name] = value
    return plain
