"""MLflow models of others: which file of one is the model, and what it promises to take.

Nothing of it is imported or run, and MLflow need not be here. Taken is a flavour whose file holds a
model of a known library; the flavour ``python_function`` alone says only which code to run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec
import yaml

from shipway.contract.schema import Contract
from shipway.domain.model import Kind
from shipway.errors import ModelFileError, ModelMismatch, Problem
from shipway.exchange.layout import Files
from shipway.exchange.limits import Limits
from shipway.registry.entries import path_fault

MLMODEL = "MLmodel"
_MOST_BYTES = 1 << 20
_FILE_OF: Mapping[str, str] = MappingProxyType(
    {"onnx": "data", "sklearn": "pickled_model", "lightgbm": "data", "xgboost": "data"}
)
"""The flavours that are taken, the best first, and which field of each names the file."""

_NUMBERS = frozenset({"double", "float", "long", "integer"})
_KINDS: Mapping[Kind, frozenset[str]] = MappingProxyType(
    {
        Kind.NUMBER: _NUMBERS,
        Kind.INTEGER: _NUMBERS,
        Kind.BOOLEAN: frozenset({"boolean", "long", "integer"}),
        Kind.STRING: frozenset({"string"}),
        Kind.DATE: frozenset({"datetime", "string"}),
        Kind.TIMESTAMP: frozenset({"datetime", "string"}),
    }
)
_PLAIN = re.compile(r"[0-9a-zA-Z.-]{1,64}", re.ASCII)
_ANY = "any"


class _Signature(msgspec.Struct, frozen=True):
    inputs: str | None = None


class _Model(msgspec.Struct, frozen=True):
    flavors: dict[str, dict[str, object]]
    run_id: str | None = None
    mlflow_version: str | None = None
    signature: _Signature | None = None


class _Input(msgspec.Struct, frozen=True):
    """A column of a signature; what has no name or a shape in the place of a type is a tensor."""

    name: str = ""
    type: str = ""
    required: bool = True


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """A model as MLflow logged it: its ``content`` is that of the file ``path``."""

    flavour: str
    path: str
    content: bytes
    inputs: tuple[_Input, ...]
    run: str
    mlflow: str

    @property
    def origin(self) -> str:
        """Where it comes from, for people."""
        run = f", run {self.run}" if self.run else ""
        by = f" {self.mlflow}" if self.mlflow else ""
        return f"it was an MLflow{by} model (flavour {self.flavour}{run})"


def read_logged(files: Files, where: str, limits: Limits) -> Logged:
    """The model among *files*; *where* they are from is for messages.

    Raises :class:`~shipway.errors.ModelFileError` for what is no MLflow model, or one of no flavour
    that is taken.
    """
    model = _parsed(files.read(MLMODEL, _MOST_BYTES), where)
    flavour = next((name for name in _FILE_OF if name in model.flavors), None)
    if flavour is None:
        known = ", ".join(sorted(model.flavors)) or "none"
        raise _refused(where, f"its flavours are {known[:200]}", ", ".join(_FILE_OF))
    path = model.flavors[flavour].get(_FILE_OF[flavour])
    if not isinstance(path, str) or path_fault(path):
        raise _refused(where, f"its flavour {flavour} names no file of it: {str(path)[:200]!r}")
    if model.flavors[flavour].get("save_as_external_data"):
        files_beside = "the weights lie in other files than the graph"
        raise _refused(where, files_beside, "ONNX in one file: save_as_external_data=False")
    return Logged(
        flavour=flavour,
        path=path,
        content=files.read(path, limits.file_bytes),
        inputs=_inputs(model, where),
        run=_plain(model.run_id or ""),
        mlflow=_plain(model.mlflow_version or ""),
    )


def check_inputs(logged: Logged, contract: Contract) -> None:
    """Return if the columns that *logged* was logged with are the features of *contract*.

    A signature of tensors, or none, says nothing. Raises
    :class:`~shipway.errors.ModelMismatch` with every difference.
    """
    problems = tuple(_differences(logged, contract)) if logged.inputs else ()
    if problems:
        raise ModelMismatch(
            "the signature of the MLflow model and the contract disagree",
            next_step="infer the contract from the table that the model was trained on: `shipway"
            " contract infer --force`",
            problems=problems,
        )


def _differences(logged: Logged, contract: Contract) -> Iterator[Problem]:
    features = {column.name: column for column in contract.features}
    asked = {one.name: one for one in logged.inputs}
    for name in features.keys() - asked.keys():
        yield Problem("model.mismatch", f"the model was logged without the feature {name!r}")
    for name, one in asked.items():
        if name not in features:
            if one.required:
                yield Problem("model.mismatch", f"the model takes {name!r}, which is no feature")
        elif one.type != _ANY and one.type not in _KINDS[features[name].kind]:
            told = f"the model takes {name!r} as {one.type[:50]}"
            yield Problem("model.mismatch", f"{told}, and it is a {features[name].kind}")


def _parsed(content: bytes, where: str) -> _Model:
    try:
        return msgspec.convert(yaml.safe_load(content), type=_Model)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _refused(where, f"its file {MLMODEL} cannot be read: {_first_line(error)}") from error


def _inputs(model: _Model, where: str) -> tuple[_Input, ...]:
    text = model.signature.inputs if model.signature else None
    if not text:
        return ()
    try:
        found = json.loads(text)
        if any(not isinstance(one.get("type"), str) or not one.get("name") for one in found):
            return ()  # tensors, or values without a name
        told = [{**one, "required": one.get("required", True)} for one in found]
        inputs = msgspec.convert(told, type=tuple[_Input, ...])
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(where, f"its signature cannot be read: {_first_line(error)}") from error
    return () if any(one.type == "tensor" for one in inputs) else inputs


def _plain(text: str) -> str:
    """*text* if it can be an id or a number of a release, else nothing."""
    return text if _PLAIN.fullmatch(text) else ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _refused(where: str, why: str, taken: str = "") -> ModelFileError:
    return ModelFileError(
        f"{where} cannot be taken in as an MLflow model: {why}",
        next_step=f"log it as one of {taken}" if taken else "log the model again",
    )
