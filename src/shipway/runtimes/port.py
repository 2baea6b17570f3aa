"""What a model is to the rest of the product, whatever library made it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from shipway.domain.model import ModelSpec, Parity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Columns = Mapping[str, "NDArray[np.generic]"]
"""Feature arrays by name, each of shape (n,), in the dtypes of ``shipway.domain.model.Kind``."""


class Model(Protocol):
    """A loaded model. Safe to call from one thread at a time."""

    spec: ModelSpec

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Class probabilities of shape (n, len(classes)), or values of shape (n,) in regression.

        Raises :class:`~shipway.errors.PredictionFailed` if the library does.
        """

    def close(self) -> None:
        """Give back what the model holds; predicting afterwards is an error."""


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """A model made ready to publish: its files, how to load them, and the proof that it is one.

    ``notes`` say in plain words what was chosen and why (why not ONNX, for one).
    """

    spec: ModelSpec
    files: dict[str, bytes]
    parity: Parity | None
    notes: tuple[str, ...] = ()


class Loader(Protocol):
    """How a runtime is found: the ``shipway.runtimes`` entry points name callables of this form."""

    def __call__(self, spec: ModelSpec, files: Mapping[str, Path]) -> Model:
        """Load *spec* from verified *files* (name in the manifest to path on disk)."""
