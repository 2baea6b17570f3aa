"""A user's own code taken in: read, pinned, run once as it will be served, and asked real rows.

There is nothing to compare its answers with, so what can be asked of them alone is asked: that
they are predictions, and that a row gets the same one alone as in company, because the server
gives the model whatever arrived together.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.contract.schema import Contract
from shipway.domain.digests import digest_of
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, ModelSpec
from shipway.domain.text import text_of
from shipway.errors import CodeRefused, ModelFileError, ModelMismatch
from shipway.runtimes.answers import check_probabilities, checked, rows_of
from shipway.runtimes.exported import last_class
from shipway.runtimes.matching import target_values
from shipway.runtimes.port import DEFAULT_LIMITS, Columns, Packed, ProcessLimits, SourceInfo
from shipway.runtimes.python import PythonModel
from shipway.runtimes.requirements import Pins, check_installed, imported, read_requirements
from shipway.runtimes.sources import (
    MAIN_FILE,
    REQUIREMENTS,
    Source,
    Unpacked,
    archive,
    read_source,
)

_ROWS_ALONE = 20
_ROWS_AT_ONCE = 1_000
_SAME = 1e-6


def take_code(
    path: Path,
    contract: Contract,
    sample: Columns,
    *,
    entry: str | None,
    requirements: Path | None,
    positive: str | None,
    trusted: bool,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> tuple[Packed, SourceInfo]:
    """The code at *path* as a version of the runtime ``python``, tried on the rows of *sample*.

    Raises :class:`~shipway.errors.CodeRefused` unless *trusted*,
    :class:`~shipway.errors.ModelFileError` for code that is not there, pins nothing or does not
    load, :class:`~shipway.errors.ModelMismatch` for answers that are no predictions,
    :class:`~shipway.errors.MissingPackage`, and :class:`~shipway.errors.PredictionFailed`.
    """
    if not trusted:
        raise CodeRefused(
            f"{str(path)!r} is code, and packing it runs it",
            next_step="add --trust-code if you wrote it yourself or trust who did; it runs in a"
            " process without secrets, here and in the server",
        )
    source = read_source(path, entry)
    pins, notes = _pins(source, requirements)
    check_installed(pins)
    data = archive(source.files)
    spec = ModelSpec(
        format="python",
        task=contract.task,
        inputs=tuple(InputSpec(one.name, one.kind, one.nullable) for one in contract.features),
        classes=_classes(contract),
        main_file=MAIN_FILE,
        options={"entry": source.entry},
        library=pins,
    )
    with closing(PythonModel(spec, Unpacked.of(data), threads=1, limits=limits)) as model:
        model.open()
        raw = _asked(model, sample)
        spec, how = _as_predictions(spec, raw, rows_of(spec, sample), positive)
        _check_alone(model, sample, raw)
    if source.left_out:
        notes = (*notes, f"left out of the version: {', '.join(source.left_out)}")
    files = {MAIN_FILE: data}
    info = SourceInfo(digest=digest_of(data), type=f"python {source.entry}", packages=dict(pins))
    return Packed(spec=spec, files=files, parity=None, notes=(*notes, how)), info


def _pins(source: Source, given: Path | None) -> tuple[Pins, tuple[str, ...]]:
    """What the code needs, and what of it nobody has pinned but this."""
    text, where = "", REQUIREMENTS
    if given is not None:
        where = str(given)
        try:
            text = given.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelFileError(
                f"the requirements {where!r} cannot be read: {error}",
                next_step="check the path, and that it is text in UTF-8",
            ) from error
    elif REQUIREMENTS in source.files:
        text = source.files[REQUIREMENTS].decode(errors="replace")
    pins = read_requirements(text, where)
    named = {name.partition("[")[0] for name in pins}
    added = {
        name: version for name, version in imported(source.modules).items() if name not in named
    }
    if not added:
        return pins, ()
    listed = ", ".join(f"{name}=={version}" for name, version in added.items())
    return {**pins, **added}, (f"pinned as installed here, because the code imports it: {listed}",)


def _classes(contract: Contract) -> tuple[Scalar, ...]:
    if contract.task is Task.REGRESSION:
        return ()
    classes = target_values(contract)
    if len(classes) < 2:
        raise ModelMismatch(
            "the contract does not list the values of the target, and code has no names for them",
            next_step="infer the contract again from a table that has the target",
        )
    return classes


def _asked(model: PythonModel, sample: Columns) -> NDArray[np.float64]:
    """The raw answers to all of *sample*, asked in parts that the server might send."""
    rows = rows_of(model.spec, sample)
    parts = []
    for start in range(0, rows, _ROWS_AT_ONCE):
        stop = min(rows, start + _ROWS_AT_ONCE)
        part = model.answer({name: values[start:stop] for name, values in sample.items()})
        if part.ndim == 0 or len(part) != stop - start:
            raise ModelMismatch(
                f"the code answers {stop - start} rows with an array of shape {part.shape}",
                next_step="return one value, or one row of probabilities, for each row given",
            )
        parts.append(part)
    try:
        return np.concatenate(parts)
    except ValueError as error:
        raise ModelMismatch(
            f"the code answers with arrays of different widths: {error}",
            next_step="return arrays of the same form for any number of rows",
        ) from error


def _as_predictions(
    spec: ModelSpec, raw: NDArray[np.float64], rows: int, positive: str | None
) -> tuple[ModelSpec, str]:
    """*spec* with its classes in the order of the answers, and how those are read."""
    how = "the answers are values of the target"
    if spec.classes:
        texts = [text_of(value) for value in spec.classes]
        if positive is not None and positive not in texts:
            raise ModelMismatch(
                f"the positive class {positive!r} is none of the target's: {', '.join(texts)}",
                next_step=f"set model.positive in shipway.toml to one of {', '.join(texts)}",
            )
        how = f"the answers are probabilities in the order {', '.join(texts)}"
        if len(texts) == 2 and raw.size == rows:
            index = last_class(spec.classes) if positive is None else texts.index(positive)
            ordered = (spec.classes[1 - index], spec.classes[index])
            spec = msgspec.structs.replace(spec, classes=ordered)
            how = f"the answers are the probability of {texts[index]}"
    answers = checked(spec, raw, rows)
    unfit = check_probabilities(spec, answers)
    if not spec.classes and not np.isfinite(answers).all():
        unfit = "some of its answers are NaN or infinite"
    if unfit:
        raise ModelMismatch(
            f"the code's answers are no predictions: {unfit}",
            next_step="return probabilities, one column a class or that of the positive class"
            if spec.classes
            else "return a finite number for each row",
        )
    return spec, f"code of one's own, so there is no original to compare with; {how}"


def _check_alone(model: PythonModel, sample: Columns, together: NDArray[np.float64]) -> None:
    """Raise unless a row's answer is its own, whoever is asked about with it."""
    for row in range(min(len(together), _ROWS_ALONE)):
        alone = model.answer({name: values[row : row + 1] for name, values in sample.items()})
        if alone.size != together[row].size or not np.allclose(
            alone.ravel(), together[row].ravel(), rtol=_SAME, atol=_SAME
        ):
            raise ModelMismatch(
                f"the code answers row {row} with {alone.ravel()} alone and with"
                f" {together[row].ravel()} among others",
                next_step="let each row's answer depend on that row alone, and on no chance: the"
                " server asks about whatever arrived together",
            )
