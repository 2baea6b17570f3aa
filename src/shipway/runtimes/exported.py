"""ONNX files that somebody else exported: what they take and give, made out and checked.

Two forms of input are read: one tensor a column, named as in the contract, or one matrix in the
contract's order. Outputs may be labels, probabilities of every class, the probability of the
positive class alone, or values. What cannot be told apart is refused with how to export it again.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.contract.schema import Contract
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.domain.text import text_of
from shipway.errors import ModelMismatch, PredictionFailed, Problem
from shipway.runtimes.answers import check_probabilities, times
from shipway.runtimes.matching import match_columns, target_values
from shipway.runtimes.onnx import MAIN_FILE, OnnxModel, Session, Tensor
from shipway.runtimes.port import Columns, Packed
from shipway.runtimes.versions import installed

_NO_ZIPMAP = "export it again with options={'zipmap': False}"
_LABELS_AGREE = 0.99


def take_in(
    data: bytes,
    contract: Contract,
    sample: Columns,
    *,
    positive: str | None,
) -> Packed:
    """The graph *data* as it is, with the specification that fits it to *contract*.

    There is no original to compare with, so there is no parity report; the graph must answer
    every row of *sample* with finite values, which are probabilities where classes are asked for.

    Raises :class:`~shipway.errors.ModelMismatch` and :class:`~shipway.errors.ModelFileError`.
    """
    session = Session(data)
    layout, inputs, notes = _inputs(session, contract)
    classes, assumed = _classes(contract, positive)
    spec = ModelSpec(
        format="onnx",
        task=contract.task,
        inputs=inputs,
        classes=classes,
        main_file=MAIN_FILE,
        options={"layout": layout},
        library=installed(("onnxruntime",)),
    )
    if times(spec):
        raise ModelMismatch(
            f"ONNX has no times, and the contract's {', '.join(times(spec))} is one",
            next_step="make columns of it (hour, weekday, days since ...) and train on those",
        )
    spec, answers, how = _output(session, spec, sample, positive)
    _check_labels(session, spec, sample, answers)
    if any(one.kind is Kind.STRING and one.nullable for one in inputs):
        how += "; rows with a missing string are refused, for the graph has no way to take one"
    note = f"taken in as the ONNX file that it is, so there is no original to compare with; {how}"
    return Packed(spec=spec, files={MAIN_FILE: data}, parity=None, notes=(*notes, *assumed, note))


def _inputs(
    session: Session, contract: Contract
) -> tuple[str, tuple[InputSpec, ...], tuple[str, ...]]:
    """The layout, the inputs, and what was assumed."""
    tensors = session.inputs
    width = len(contract.features)
    for tensor in tensors:
        _check_input(tensor)
    names = {column.name for column in contract.features}
    if len(tensors) == 1 and tensors[0].name not in names:
        columns = tensors[0].shape[1] if len(tensors[0].shape) == 2 else None
        if len(tensors[0].shape) == 2 and columns in (None, width):
            inputs, notes = match_columns(None, columns, contract)
            return "matrix", inputs, notes
    inputs, notes = match_columns([tensor.name for tensor in tensors], None, contract)
    return "columns", inputs, notes


def _check_input(tensor: Tensor) -> None:
    if tensor.dtype is None or len(tensor.shape) not in (1, 2):
        raise ModelMismatch(
            f"the ONNX input {tensor.name!r} is a {tensor.kind} of {len(tensor.shape)} dimensions",
            next_step="export the model with inputs of shape [None, columns] or [None, 1]",
        )
    if tensor.shape[0] is not None:
        raise ModelMismatch(
            f"the ONNX input {tensor.name!r} takes exactly {tensor.shape[0]} rows at a time",
            next_step="export the model with a dynamic first axis",
        )


def _classes(
    contract: Contract, positive: str | None
) -> tuple[tuple[Scalar, ...], tuple[str, ...]]:
    """The classes in sorted order, which is how every exporter that is known writes them."""
    if contract.task is Task.REGRESSION:
        return (), ()
    classes = target_values(contract)
    if len(classes) < 2:
        raise ModelMismatch(
            "the contract does not list the values of the target, and the ONNX file has no names",
            next_step="infer the contract again from a table that has the target",
        )
    texts = [text_of(value) for value in classes]
    if positive is not None and positive not in texts:
        raise ModelMismatch(
            f"the positive class {positive!r} is none of the target's: {', '.join(texts)}",
            next_step=f"set model.positive in shipway.toml to one of {', '.join(texts)}",
        )
    return classes, (f"probabilities are read in the order {', '.join(texts)}",)


def _output(
    session: Session, spec: ModelSpec, sample: Columns, positive: str | None
) -> tuple[ModelSpec, NDArray[np.float64], str]:
    """The specification with the output that answers, what it answered, and how it is read."""
    problems: list[Problem] = []
    usable: list[tuple[ModelSpec, NDArray[np.float64], str]] = []
    for tensor in session.outputs:
        if tensor.kind.startswith("seq(map("):
            text = f"the output {tensor.name!r} is one dictionary a row (ZipMap)"
            problems.append(Problem("model.output-zipmap", text, hint=_NO_ZIPMAP))
        if tensor.kind not in ("tensor(float)", "tensor(double)"):
            continue
        ready, how = _reading(spec, tensor, positive)
        try:
            answers = OnnxModel(ready, session).predict(sample)
        except PredictionFailed as error:
            unfit = error.message
        else:
            unfit = check_probabilities(ready, answers)
            if not spec.classes and not np.isfinite(answers).all():
                unfit = "some of its answers are NaN or infinite"
        if unfit:
            text = f"the output {tensor.name!r} cannot be read: {unfit}"
            problems.append(Problem("model.output-unfit", text))
        else:
            usable.append((ready, answers, how))
    named = [one for one in usable if "prob" in str(one[0].options["output"]).lower()]
    chosen = named if len(usable) > 1 and spec.classes else usable
    if len(chosen) == 1:
        return chosen[0]
    raise _no_output(session, spec, problems, usable=len(usable))


def _reading(spec: ModelSpec, tensor: Tensor, positive: str | None) -> tuple[ModelSpec, str]:
    """*spec* with *tensor* as its output; one column is the probability of the positive class."""
    options: dict[str, Scalar] = {**spec.options, "output": tensor.name}
    classes, how = spec.classes, f"the output {tensor.name!r} holds the answers"
    single = len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1)
    if len(classes) == 2 and single:
        texts = [text_of(value) for value in classes]
        index = last_class(classes) if positive is None else texts.index(positive)
        classes = (classes[1 - index], classes[index])
        how = f"the output {tensor.name!r} is read as the probability of {texts[index]}"
    return msgspec.structs.replace(spec, options=options, classes=classes), how


def _no_output(
    session: Session, spec: ModelSpec, problems: list[Problem], *, usable: int
) -> ModelMismatch:
    listed = ", ".join(f"{one.name} ({one.kind})" for one in session.outputs)
    wanted = f"probabilities of {len(spec.classes)} classes" if spec.classes else "one value a row"
    found = "more than one output could be" if usable else "no output is"
    hint = "end it in a softmax or sigmoid" if spec.classes else "leave the others out"
    return ModelMismatch(
        f"{found} {wanted} in the ONNX file; its outputs are {listed}",
        next_step=f"export the model with one such output; {hint}",
        problems=problems,
    )


def _check_labels(
    session: Session, spec: ModelSpec, sample: Columns, answers: NDArray[np.float64]
) -> None:
    """Where the graph gives labels too, they must be the classes that its probabilities favour."""
    kinds = ("tensor(int64)", "tensor(string)")
    labelled = [one.name for one in session.outputs if one.kind in kinds]
    if not spec.classes or len(labelled) != 1:
        return
    raw = OnnxModel(spec, session).run(sample, labelled)[0]
    labels = [text_of(value) for value in np.asarray(raw).ravel().tolist()]
    texts = [text_of(value) for value in spec.classes]
    if set(labels) <= {str(index) for index in range(len(texts))}:
        texts = [str(index) for index in range(len(texts))]
    favoured = [texts[index] for index in answers.argmax(axis=1)]
    agree = sum(one == other for one, other in zip(labels, favoured, strict=True))
    if agree < _LABELS_AGREE * len(labels):
        raise ModelMismatch(
            f"the output {labelled[0]!r} names the class with the highest probability in"
            f" {agree} of {len(labels)} rows only, when probabilities are read in the order"
            f" {', '.join(texts)}",
            next_step="export the model with its classes in sorted order, as the contract has them",
        )


def last_class(classes: tuple[Scalar, ...]) -> int:
    """The index of the class that is positive unless somebody says otherwise: the last, sorted."""
    try:
        return max(range(len(classes)), key=lambda index: classes[index])  # type: ignore[arg-type, return-value]
    except TypeError:
        return max(range(len(classes)), key=lambda index: text_of(classes[index]))
