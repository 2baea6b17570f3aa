"""What is remembered of an answered request, and of the truth that came later.

One event is one request with all of its rows, column by column, because that is how a request
comes in and how a table goes out. The reader in ``monitoring`` makes one row a prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

Scalar = str | int | float | bool | None


class PredictionEvent(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One request and its answer. A refused one has a ``code``, its ``rows``, and no outputs.

    ``columns`` holds the features, the time and the id columns as they were received, after
    validation, each of length ``rows``; features that came as a matrix are in ``matrix`` instead,
    row after row under their ``names``, as float64 of the machine with NaN for what is missing.
    Of the events that are kept together only the first need tell the names; see :func:`named`.
    ``scores`` has one list a row for a multiclass model
    and one number a row otherwise: the probability of the positive class, or the value.
    ``latency_us`` is the time from the last byte of the request to the first of the answer.
    """

    request_id: str
    received_at_ns: int
    endpoint: str
    model: str
    version: int
    caller: str
    rows: int
    latency_us: int
    status: int = 200
    code: str = ""
    columns: dict[str, list[Scalar]] = {}
    scores: list[Any] = []  # msgspec decodes no union of two list types
    labels: list[Scalar] = []
    warnings: dict[str, int] = {}
    names: tuple[str, ...] = ()
    matrix: bytes = b""

    def by_column(self) -> dict[str, list[Scalar]]:
        """What was received, column by column, in whichever form it is kept."""
        if not self.names:
            return self.columns
        width = len(self.names)
        flat = memoryview(self.matrix).cast("d").tolist()
        plain: list[Scalar] = [None if one != one else one for one in flat]  # noqa: PLR0124 - NaN
        return {name: plain[at::width] for at, name in enumerate(self.names)}


def named(events: list[PredictionEvent]) -> list[PredictionEvent]:
    """*events* that were kept together, those with a matrix with the names that it goes by.

    They are that event's own, or else those of the last one before it that has some.
    """
    names: tuple[str, ...] = ()
    for event in events:
        if event.names:
            names = event.names
        elif event.matrix:
            # These structs are ours alone yet: they have just been read.
            msgspec.structs.force_setattr(event, "names", names)
    return events


class EventSink(Protocol):
    """Where the events of one drained batch go; returns once a killed process cannot lose them."""

    def append(self, events: Sequence[PredictionEvent]) -> None:
        """Keep *events*, in order."""


class Losses(msgspec.Struct, frozen=True):
    """The ``events`` that a sink could not keep since it began; ``error`` is "" if it keeps now."""

    events: int = 0
    error: str = ""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one prediction, known at ``observed_at_ns``; a later one corrects it."""

    prediction_id: str
    value: Scalar
    observed_at_ns: int
