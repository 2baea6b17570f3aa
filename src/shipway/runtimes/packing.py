"""From a trained model's file to one that can be published: converted where that is proved.

ONNX comes first: one small, fast runtime that needs none of the training libraries. Only a graph
that answers like the original on the sample's real rows and on made-up ones is taken; otherwise
the model is kept in its library's own safe format, and the notes say why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from shipway.contract.schema import Contract
from shipway.domain.digests import digest_of
from shipway.domain.metrics import Task
from shipway.domain.model import ModelSpec
from shipway.domain.text import text_of
from shipway.errors import ModelError, ModelFileError, ModelMismatch, PredictionFailed
from shipway.runtimes import exported, lightgbm, onnx, sklearn, xgboost
from shipway.runtimes.answers import check_probabilities, times
from shipway.runtimes.conversion import NotConvertible, convert, layout_of, ways
from shipway.runtimes.detection import Format, read_model_file
from shipway.runtimes.loading import load_model
from shipway.runtimes.matching import match_classes, match_columns
from shipway.runtimes.own_code import take_code
from shipway.runtimes.parity import Comparison, Rule, compare, differing_probe
from shipway.runtimes.port import Columns, Facts, Library, Model, Packed, SourceInfo
from shipway.runtimes.sources import is_source
from shipway.runtimes.unpickling import unpickle
from shipway.runtimes.versions import installed

_LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {"sklearn": sklearn, "lightgbm": lightgbm, "xgboost": xgboost}
)


def pack(
    path: Path,
    contract: Contract,
    sample: Columns,
    *,
    threshold: float | None,
    positive: str | None,
    trust_pickle: bool = False,
    trust_code: bool = False,
    entry: str | None = None,
    requirements: Path | None = None,
) -> tuple[Packed, SourceInfo]:
    """Make the model file at *path* ready to publish, proved on the rows of *sample*.

    *sample* holds the contract's features as ``CompiledContract.encode`` gives them. *threshold*
    and *positive* (the text of a class, the last one by default) say what a flipped decision is.
    A *path* to code (``serving.py:Model``, or a folder with *entry* and *requirements*) is taken
    in as it is, if it is trusted.

    Raises :class:`~shipway.errors.PickleRefused`, :class:`~shipway.errors.CodeRefused`,
    :class:`~shipway.errors.ModelFileError`,
    :class:`~shipway.errors.ModelMismatch` with every difference from the contract,
    :class:`~shipway.errors.MissingPackage`, and :class:`~shipway.errors.PredictionFailed` if the
    original itself cannot answer the rows.
    """
    if is_source(path):
        return take_code(
            path,
            contract,
            sample,
            entry=entry,
            requirements=requirements,
            positive=positive,
            trusted=trust_code,
        )
    data, found = read_model_file(path)
    if found is Format.ONNX:
        packed = exported.take_in(data, contract, sample, positive=positive)
        info = SourceInfo(
            digest=digest_of(data), type="ONNX", packages=installed(("onnxruntime", "numpy"))
        )
        return packed, info
    model, notes = _open(data, found, path.name, trusted=trust_pickle)
    library = sklearn if sklearn.is_estimator(model) else _by_type(model, path.name)
    facts = library.describe(model)
    spec, assumed = _spec(library, model, facts, contract)
    rule = rule_of(spec, threshold, positive)
    original = library.wrap(model, spec)
    expected = original.predict(sample)
    unfit = check_probabilities(spec, expected)
    if unfit:
        raise ModelMismatch(
            f"the model's answers are no probabilities: {unfit}",
            next_step="train with an objective that gives probabilities",
        )
    converted = _to_onnx(model, original, expected, rule, sample, spec)
    if isinstance(converted, Packed):
        packed = converted
    else:
        packed = _to_native(model, original, expected, rule, sample, converted)
    info = SourceInfo(
        digest=digest_of(data),
        type=facts.type,
        parameters=facts.parameters,
        packages=installed((*facts.libraries, "numpy", "pandas", "skl2onnx", "onnxmltools")),
    )
    return msgspec.structs.replace(packed, notes=(*notes, *assumed, *packed.notes)), info


def rule_of(spec: ModelSpec, threshold: float | None, positive: str | None) -> Rule:
    """How answers of *spec* become decisions.

    Raises :class:`~shipway.errors.ModelMismatch` if *positive* is none of the classes.
    """
    if spec.task is not Task.BINARY:
        return Rule(spec.task)
    texts = [text_of(value) for value in spec.classes]
    if positive is None:
        return Rule(spec.task, exported.last_class(spec.classes), threshold)
    if positive not in texts:
        raise ModelMismatch(
            f"the positive class {positive!r} is none of the model's: {' and '.join(texts)}",
            next_step=f"set model.positive in shipway.toml to one of {' or '.join(texts)}",
        )
    return Rule(spec.task, texts.index(positive), threshold)


def _open(data: bytes, found: Format, name: str, *, trusted: bool) -> tuple[Any, tuple[str, ...]]:
    if found is Format.PICKLE:
        return unpickle(data, name, trusted=trusted)
    if found is Format.SKOPS:
        return sklearn.read(data), ()
    return (lightgbm if found is Format.LIGHTGBM else xgboost).read(data), ()


def _by_type(model: Any, name: str) -> Library:
    root = type(model).__module__.split(".", 1)[0]
    if root in ("lightgbm", "xgboost") and type(model).__name__ == "Booster":
        return _LIBRARIES[root]
    raise ModelFileError(
        f"{name!r} holds a {type(model).__module__}.{type(model).__qualname__}, which is no model"
        " that is known here",
        next_step="save a fitted scikit-learn, LightGBM or XGBoost model, or export it to ONNX",
    )


def _spec(
    library: Library, model: Any, facts: Facts, contract: Contract
) -> tuple[ModelSpec, tuple[str, ...]]:
    inputs, by_position = match_columns(facts.names, facts.width, contract, unused=facts.unused)
    classes, numbered = match_classes(facts, contract)
    spec = ModelSpec(
        format="",
        task=contract.task,
        inputs=inputs,
        classes=classes,
        main_file="",
        library=installed(facts.libraries),
    )
    if times(spec) and library is not sklearn:
        raise ModelMismatch(
            f"a {facts.type} takes no times, and the contract's {', '.join(times(spec))} is one",
            next_step="make columns of it (hour, weekday, days since ...) and train on those",
        )
    chosen = library.options(model, spec)
    return msgspec.structs.replace(spec, options=chosen), (*by_position, *numbered)


def _to_onnx(
    model: Any, original: Model, expected: Any, rule: Rule, sample: Columns, spec: ModelSpec
) -> Packed | str:
    """The model as ONNX, or why it is not."""
    if times(spec):
        return f"ONNX has no times, and {', '.join(times(spec))} is one"
    if "categorical" in spec.options:
        return "the model was trained on pandas categories, which no converter carries over"
    reasons: list[str] = []
    for way in ways(model):
        try:
            graph = convert(model, spec, way)
            ready = _onnx_spec(graph, spec, layout_of(model))
            packed = reload(ready, {onnx.MAIN_FILE: graph})
            comparison = compare(expected, packed.predict(sample), rule)
        except NotConvertible as error:
            reasons.append(f"no converter could do it ({error})")
            continue
        except (ModelFileError, PredictionFailed) as error:
            reasons.append(f"the graph made of it does not run ({error.message})")
            continue
        differs = (
            differing_probe(original, packed, rule, sample) if comparison.parity.passed else ""
        )
        packed.close()
        if not comparison.parity.passed:
            reasons.append(f"ONNX answered otherwise: {comparison.describe()}")
        elif differs:
            reasons.append(f"ONNX answered otherwise about {differs}")
        else:
            note = f"converted to ONNX with {way.describe()}: {comparison.describe()}"
            return Packed(
                spec=ready,
                files={onnx.MAIN_FILE: graph},
                parity=comparison.parity,
                notes=(note,),
            )
    return reasons[0]


def _onnx_spec(graph: bytes, spec: ModelSpec, layout: str) -> ModelSpec:
    outputs = [one.name for one in onnx.Session(graph).outputs]
    return msgspec.structs.replace(
        spec,
        format="onnx",
        main_file=onnx.MAIN_FILE,
        options={
            "layout": layout,
            "output": outputs[-1],
            "missing_string": onnx.MISSING_STRING,
        },
        library=installed(("onnxruntime",)),
    )


def _to_native(
    model: Any, original: Model, expected: Any, rule: Rule, sample: Columns, why: str
) -> Packed:
    """The model in its library's safe format; *why* says why it is not ONNX."""
    root = type(model).__module__.split(".", 1)[0]
    name = root if root in ("lightgbm", "xgboost") else "sklearn"
    library = _LIBRARIES[name]
    try:
        main_file, data = library.save(model)
    except ModelError as error:
        raise ModelFileError(
            f"the model can be published neither as ONNX ({why}) nor in a safe format:"
            f" {error.message}",
            next_step=error.next_step,
        ) from error
    ready = msgspec.structs.replace(
        original.spec,
        format=name,
        main_file=main_file,
        options=library.options(model, original.spec),
        library=original.spec.library if name == "sklearn" else installed((name,)),
    )
    packed = reload(ready, {main_file: data})
    comparison: Comparison = compare(expected, packed.predict(sample), rule)
    differs = differing_probe(original, packed, rule, sample) if comparison.parity.passed else ""
    packed.close()
    if differs or not comparison.parity.passed:
        raise ModelFileError(
            f"the model read back from {main_file} answers otherwise than the original"
            f" ({differs or comparison.describe()}), and ONNX was no way either ({why})",
            next_step="save the model from its library's own format, or export it to ONNX",
        )
    kind = {"sklearn": "skops", "lightgbm": "LightGBM text", "xgboost": "XGBoost ubj"}[name]
    note = f"kept as {kind}, not ONNX: {why}; read back: {comparison.describe()}"
    return Packed(spec=ready, files={main_file: data}, parity=comparison.parity, notes=(note,))


def reload(spec: ModelSpec, files: Mapping[str, bytes]) -> Model:
    """The model that serving will load: from the very bytes, through the same loader."""
    with tempfile.TemporaryDirectory(prefix="shipway-pack-") as folder:
        paths = {}
        for name, content in files.items():
            paths[name] = Path(folder) / name
            paths[name].write_bytes(content)
        return load_model(spec, paths)
