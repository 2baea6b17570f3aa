"""One way to write a value as text: categories, classes, slices and bins are compared by it."""

from __future__ import annotations

from shipway.domain.events import Scalar


def text_of(value: Scalar) -> str:
    """*value* as text: ``true``/``false``, whole floats without ``.0``, None as ``missing``.

    >>> [text_of(value) for value in (True, 3.0, 0.25, "JFK", None)]
    ['true', '3', '0.25', 'JFK', 'missing']
    """
    if value is None or value != value:  # noqa: PLR0124  NaN is a missing number
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)
