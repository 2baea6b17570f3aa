"""What a model is to the rest of the product, whatever library made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from shipway.domain.events import Scalar
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

        Raises :class:`~shipway.errors.PredictionFailed` if the library does, if there is no row,
        or if a column is not there. A row of NaN is handed on: its caller alone has failed.
        """

    def close(self) -> None:
        """Give back what the model holds; predicting afterwards is an error."""


@runtime_checkable
class Stalling(Protocol):
    """A model that says of itself that a call may take as long as its limits allow.

    However fast it is at its warm-up, it is called where nobody else waits for it.
    """

    may_stall: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """What is granted to a model that runs in a process of its own.

    ``memory_bytes`` bounds its address space; None is the memory of the machine.
    """

    load_timeout_s: float = 60.0
    answer_timeout_s: float = 10.0
    memory_bytes: int | None = None


DEFAULT_LIMITS = ProcessLimits()


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """A model made ready to publish: its files, how to load them, and the proof that it is one.

    ``notes`` say in plain words what was chosen and why (why not ONNX, for one). ``parity`` is
    None only where there is no original to compare with: a file that came as ONNX, or code.
    """

    spec: ModelSpec
    files: dict[str, bytes]
    parity: Parity | None
    notes: tuple[str, ...] = ()


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the lineage keeps of the file that was packed.

    ``parameters`` are the hyperparameters that are plain values, ``packages`` the versions
    installed of the libraries that the model is made with.
    """

    digest: str
    type: str
    parameters: dict[str, Scalar] = {}
    packages: dict[str, str] = {}


class Loader(Protocol):
    """How a runtime is found: the ``shipway.runtimes`` entry points name callables of this form."""

    def __call__(
        self,
        spec: ModelSpec,
        files: Mapping[str, Path],
        *,
        threads: int = 1,
        limits: ProcessLimits = DEFAULT_LIMITS,
    ) -> Model:
        """Load *spec* from verified *files* (name in the manifest to path on disk).

        ``threads`` is how many one prediction may use, ``limits`` hold for a model that runs in
        a process of its own; others leave them. Raises
        :class:`~shipway.errors.ModelFileError` for bytes that are not the model promised and
        :class:`~shipway.errors.MissingPackage` where the library is not there.
        """


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model says about itself, before it is held against a contract.

    ``names`` is None for a model that was trained without column names; then ``width`` counts.
    ``unused`` are columns that it was shown in training and drops.
    ``classes`` is empty in regression; ``numbered`` says that the library cannot keep the
    target's own values and counts the classes from 0 instead.
    """

    type: str
    names: tuple[str, ...] | None
    width: int | None
    classes: tuple[Scalar, ...]
    numbered: bool
    parameters: dict[str, Scalar]
    libraries: tuple[str, ...]
    unused: tuple[str, ...] = ()


class Library(Protocol):
    """What the packer asks of the module of one library."""

    def describe(self, model: Any) -> Facts:
        """What *model* says about itself."""

    def options(self, model: Any, spec: ModelSpec) -> dict[str, Scalar]:
        """What a loader must know beside the file to feed *model* as it was fed in training."""

    def wrap(self, model: Any, spec: ModelSpec, *, threads: int = 1) -> Model:
        """*model*, which is in memory, behind the port."""

    def save(self, model: Any) -> tuple[str, bytes]:
        """The name and bytes of the safe file that :class:`Loader` reads back."""
