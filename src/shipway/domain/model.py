"""What a model takes and gives, and the proof that a packed model equals the original."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from shipway.domain.events import Scalar
from shipway.domain.metrics import Task


class Kind(StrEnum):
    """The logical type of a column.

    As arrays: ``number`` float64; ``integer`` int64, or float64 when nullable; ``boolean`` bool,
    or float64 when nullable; ``string`` object of ``str | None``; ``date`` and ``timestamp``
    datetime64[us] in UTC. A missing number is NaN, a missing time NaT, a missing string None.
    """

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING = "string"
    DATE = "date"
    TIMESTAMP = "timestamp"


DATATYPE_OF: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NUMBER: "FP64",
        Kind.INTEGER: "INT64",
        Kind.BOOLEAN: "BOOL",
        Kind.STRING: "BYTES",
        Kind.DATE: "BYTES",
        Kind.TIMESTAMP: "BYTES",
    }
)
"""The Open Inference Protocol's datatype for a column of each kind; times travel as text."""


class InputSpec(msgspec.Struct, frozen=True):
    """One feature as the model takes it."""

    name: str
    kind: Kind
    nullable: bool = False


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How stored files become a model: kept in the manifest, all that a loader may believe.

    ``format`` names the runtime (``onnx``, ``sklearn``, ``lightgbm``, ``xgboost``). ``classes``
    are the target's values in the order of the probabilities; empty for regression. ``options``
    are the runtime's own (tensor names, layout), JSON scalars only.
    """

    format: str
    task: Task
    inputs: tuple[InputSpec, ...]
    classes: tuple[Scalar, ...] = ()
    main_file: str
    options: dict[str, Scalar] = {}
    library: dict[str, str] = {}


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """Original against packed model on the same ``rows`` real rows.

    ``largest_difference`` is of probabilities, or of values relative to the target's spread;
    ``flipped`` counts rows whose decision differs at ``threshold``.
    """

    rows: int
    largest_difference: float
    mean_difference: float
    flipped: int
    threshold: float | None
    tolerance: float
    passed: bool
