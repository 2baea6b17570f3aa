"""ONNX models in onnxruntime: the runtime that everything is converted to where it can be proved.

Only ``onnxruntime`` and numpy are needed here. The bytes are all there is: a model that points to
files beside it is refused, so a version's digest covers every weight.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipway.contract.block import Block
from shipway.domain.model import Kind, ModelSpec
from shipway.errors import MissingPackage, ModelFileError, PredictionFailed, ShipwayError
from shipway.runtimes.answers import checked, failed, rows_of
from shipway.runtimes.port import DEFAULT_LIMITS, Columns, Model, ProcessLimits

MAIN_FILE = "model.onnx"
MISSING_STRING = "\ufdd0missing"
"""What stands for a missing string in models that we convert: U+FDD0 occurs in no real text."""

_DTYPES: Mapping[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(string)": np.dtype(object),
}
# StringStringEntryProto{key: "location"}, with which a tensor says that it lies in another file.
_EXTERNAL_DATA = b"\x0a\x08location"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a graph: ``shape`` has None where any size will do."""

    name: str
    kind: str
    shape: tuple[int | None, ...]

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The numpy dtype, None for what no column can be."""
        return _DTYPES.get(self.kind)


class Session:
    """An open graph: what goes in, what comes out, and running it."""

    def __init__(self, data: bytes, *, threads: int = 1) -> None:
        self._session = _open(data, threads)
        self.inputs = tuple(_tensor(one) for one in self._session.get_inputs())
        self.outputs = tuple(_tensor(one) for one in self._session.get_outputs())
        # The wrapper in Python looks at feeds again that were made to fit; it takes half of the
        # time that a small model does.
        inner = getattr(self._session, "_sess", None)
        self.run = self._session.run if inner is None else partial(_run, inner)


class OnnxModel:
    """A graph behind the port, fed with one tensor a column or with one matrix."""

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        self.spec = spec
        self._run: Any = session.run
        self._outputs = [str(spec.options["output"])]
        self._missing = spec.options.get("missing_string")
        self._names = tuple(one.name for one in spec.inputs)
        self._matrix: Tensor | None = None
        if spec.options.get("layout") == "matrix":
            self._matrix = session.inputs[0]
        _check_graph(spec, session)
        types = {one.name: one for one in session.inputs}
        self._feeds: tuple[tuple[str, np.dtype[Any], tuple[int, ...], bool], ...] = ()
        if self._matrix is None:
            self._feeds = tuple(
                (
                    one.name,
                    _dtype(types[one.name]),
                    (-1, 1) if len(types[one.name].shape) == 2 else (-1,),
                    one.nullable and _dtype(types[one.name]).kind in "ib",
                )
                for one in spec.inputs
            )

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Class probabilities of shape (n, classes), or values of shape (n,)."""
        raw = self.run(columns, self._outputs)[0]
        rows = len(columns.matrix if isinstance(columns, Block) else columns[self._names[0]])
        return checked(self.spec, raw, rows)

    def run(self, columns: Columns, outputs: list[str]) -> list[Any]:
        """What the graph gives under the names *outputs*, as it gives it."""
        try:
            feeds = (
                self._columns(columns)
                if self._matrix is None
                else self._table(self._matrix, columns)
            )
            answers: list[Any] = self._run(outputs, feeds)
        except ShipwayError:
            raise
        except Exception as error:  # onnxruntime's own errors share no base
            rows_of(self.spec, columns)
            raise failed(self.spec, error) from error
        return answers

    def close(self) -> None:
        """Free the session."""
        self._run = _closed

    def _columns(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """One tensor an input, in as few steps as can be: a lone row pays for each of them."""
        feeds: dict[str, NDArray[Any]] = {}
        rows = len(columns[self._feeds[0][0]])
        for name, dtype, shape, guarded in self._feeds:
            values: NDArray[Any] = columns[name]
            if len(values) != rows or not rows:
                rows_of(self.spec, columns)
            if guarded and values.dtype.kind == "f" and np.isnan(values).any():
                raise _missing_value(name)
            if dtype.kind == "O":
                values = self._strings(name, values)
            elif values.dtype != dtype:
                values = values.astype(dtype)
            feeds[name] = values.reshape(shape)
        return feeds

    def _table(self, tensor: Tensor, columns: Columns) -> dict[str, NDArray[Any]]:
        dtype = _dtype(tensor)
        if isinstance(columns, Block) and columns.layout.names == self._names:
            return {tensor.name: columns.matrix.astype(dtype, copy=False)}
        rows = rows_of(self.spec, columns)
        table: NDArray[Any] = np.empty((rows, len(self.spec.inputs)), dtype=dtype)
        for position, one in enumerate(self.spec.inputs):
            values: NDArray[Any] = columns[one.name]
            table[:, position] = self._strings(one.name, values) if dtype.kind == "O" else values
        return {tensor.name: table}

    def _strings(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """*values* with the missing ones replaced; onnxruntime would write "None" for them."""
        given = values.tolist()
        if None not in given:
            return values if values.dtype.kind == "O" else values.astype(object)
        if self._missing is None:
            raise _missing_value(name)
        return np.array([self._missing if one is None else one for one in given], dtype=object)


def load(
    spec: ModelSpec,
    files: Mapping[str, Path],
    *,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Model:
    """The graph in the file that *spec* names."""
    return OnnxModel(spec, Session(files[spec.main_file].read_bytes(), threads=threads))


def preload() -> None:
    """Import the library ahead of the first model."""
    _library()


def _library() -> Any:
    # Unasked, it writes and sends data about sessions; it reads this at its import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "the package 'onnxruntime' is not installed and is needed to run the model",
            next_step="pip install onnxruntime",
        ) from error
    return onnxruntime


def _open(data: bytes, threads: int) -> Any:
    onnxruntime = _library()
    if _EXTERNAL_DATA in data:
        raise ModelFileError(
            "the ONNX model keeps weights in files beside it",
            next_step="save it as one file: onnx.save(model, path, save_as_external_data=False)",
        )
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base
        reason = str(error).strip().splitlines()
        raise ModelFileError(
            f"onnxruntime cannot open the ONNX model: {reason[0] if reason else error!r}",
            next_step="check the file with onnx.checker, and export it for an opset that"
            f" onnxruntime {onnxruntime.__version__} knows",
        ) from error


def _run(inner: Any, names: list[str], feeds: dict[str, NDArray[Any]]) -> list[Any]:
    answers: list[Any] = inner.run(names, feeds, None)
    return answers


def _tensor(one: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in one.shape or ())
    return Tensor(one.name, one.type, shape)


def _dtype(tensor: Tensor) -> np.dtype[Any]:
    dtype = tensor.dtype
    if dtype is None:
        raise ModelFileError(
            f"the ONNX input {tensor.name!r} is a {tensor.kind}, which no column can be",
            next_step="export the model with float, double, int64, bool or string inputs",
        )
    return dtype


def _check_graph(spec: ModelSpec, session: Session) -> None:
    """Refuse a graph whose inputs or output are not those of the manifest."""
    promised = [one.name for one in spec.inputs]
    found = [one.name for one in session.inputs]
    if spec.options.get("layout") == "matrix":
        same = len(found) == 1 and session.inputs[0].shape[1:] in ((None,), (len(promised),))
    else:
        same = sorted(promised) == sorted(found)
    output = str(spec.options["output"])
    if not same or output not in {one.name for one in session.outputs}:
        raise ModelFileError(
            f"the ONNX graph takes {', '.join(found)} and gives"
            f" {', '.join(one.name for one in session.outputs)}; the manifest promises"
            f" {', '.join(promised)} and {output}",
            next_step="publish the model again; this file is not the one that was packed",
        )
    for tensor in session.inputs:
        textual = _dtype(tensor).kind == "O"
        for one in spec.inputs:
            named = spec.options.get("layout") == "matrix" or one.name == tensor.name
            if named and textual is not (one.kind is Kind.STRING):
                raise ModelFileError(
                    f"the ONNX input {tensor.name!r} is a {tensor.kind}, and {one.name!r} is"
                    f" {one.kind} in the contract",
                    next_step="export the model with the types of the contract",
                )


def _closed(*_: Any) -> Any:
    raise RuntimeError("the model is closed")


def _missing_value(name: str) -> PredictionFailed:
    return PredictionFailed(
        f"a value of {name!r} is missing, and this ONNX model has no way to take that",
        next_step="say nullable: false for the column in the contract, so that it is refused there",
    )
