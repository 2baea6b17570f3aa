"""A trained model as an ONNX graph, by skl2onnx and the converters of onnxmltools.

Several ways of declaring the inputs are tried in turn, the most exact first; whether a graph
answers like the original is for :mod:`shipway.runtimes.parity` to say, not for a converter.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from shipway.domain.model import Kind, ModelSpec
from shipway.domain.text import text_of
from shipway.runtimes import lightgbm, sklearn, xgboost
from shipway.runtimes.encoders import converter_for, shape_for
from shipway.runtimes.onnx import MISSING_STRING, Session
from shipway.runtimes.trees import Arithmetic, arithmetic_of, exactly

# Both are known to every onnxruntime since 1.17; ONNX-ML 3 is the first with float64 trees.
_OPSETS = MappingProxyType({"": 18, "ai.onnx.ml": 3})
_ELEMENT_TYPES = MappingProxyType(
    {"tensor(float)": 1, "tensor(int64)": 7, "tensor(string)": 8, "tensor(double)": 11}
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of converting: the float type, whether integers keep theirs, what a zero is."""

    double: bool
    integers: bool = False
    zeros_missing: bool = False

    def describe(self) -> str:
        """The way in words."""
        kept = ", integers as they are" if self.integers else ""
        gaps = ", zeros missing as in XGBoost's sparse matrices" if self.zeros_missing else ""
        return f"{'float64' if self.double else 'float32'} inputs{kept}{gaps}"


_WAYS = (Way(double=True), Way(double=True, integers=True), Way(double=False))


def ways(model: Any) -> tuple[Way, ...]:
    """The ways to try with *model*, the most exact first."""
    boosted = any(type(part).__name__.startswith("XGB") for part in sklearn.parts(model))
    if not boosted or not hasattr(model, "steps"):
        return _WAYS
    return (*_WAYS, Way(double=True, zeros_missing=True))


class NotConvertible(Exception):
    """No ONNX graph can be made of the model; the text says why, in the converter's words."""


def layout_of(model: Any) -> str:
    """``columns`` if the graph of *model* takes one input a column, ``matrix`` if it takes one."""
    return "columns" if sklearn.selects_columns(model) else "matrix"


def convert(model: Any, spec: ModelSpec, way: Way) -> bytes:
    """The graph of *model*, an estimator or a booster, with inputs as *way* says.

    Raises :class:`NotConvertible`. Warnings of the converters are kept from the user, who can do
    nothing about them: what they warn of is what parity measures.
    """
    try:
        from skl2onnx import convert_sklearn
    except ModuleNotFoundError as error:
        raise NotConvertible(f"the package {error.name!r} is not installed") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            prepared = _with_named_missing(_as_estimator(model, spec))
            converters, shapes = _custom(prepared, way)
            graph = convert_sklearn(
                prepared,
                name="model",
                initial_types=_input_types(spec, way, layout_of(model)),
                target_opset=dict(_OPSETS),
                options=_options(prepared),
                custom_conversion_functions=converters,
                custom_shape_calculators=shapes,
            )
        except NotConvertible:
            raise
        except Exception as error:  # a converter raises anything at a model it does not know
            reason = " ".join(str(error).split())
            raise NotConvertible(f"{type(error).__name__}: {reason[:300]}") from error
    return _with_true_outputs(graph)


def _with_true_outputs(graph: Any) -> bytes:
    """The graph with the types that its outputs really have.

    skl2onnx declares what the first of several columns made it expect, float32 after an encoder
    of strings say, and onnxruntime refuses a graph that does otherwise.
    """
    for output in graph.graph.output:
        output.ClearField("type")
    inferred = {one.name: one for one in Session(graph.SerializeToString()).outputs}
    for output in graph.graph.output:
        tensor = inferred[output.name]
        if tensor.kind not in _ELEMENT_TYPES:
            raise NotConvertible(f"the graph answers with a {tensor.kind}")
        output.type.tensor_type.elem_type = _ELEMENT_TYPES[tensor.kind]
        for size in tensor.shape:
            dimension = output.type.tensor_type.shape.dim.add()
            if size is not None:
                dimension.dim_value = size
    data: bytes = graph.SerializeToString()
    return data


def _as_estimator(model: Any, spec: ModelSpec) -> Any:
    root = type(model).__module__.split(".", 1)[0]
    if root == "lightgbm" and not sklearn.is_estimator(model):
        return lightgbm.as_estimator(model)
    if root == "xgboost":
        if xgboost.options(model, spec):
            raise NotConvertible("a number stands for missing values, which ONNX does not know")
        return xgboost.as_estimator(model)
    return model


def _input_types(spec: ModelSpec, way: Way, layout: str) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    number = DoubleTensorType if way.double else FloatTensorType
    if layout == "matrix":
        textual = all(one.kind is Kind.STRING for one in spec.inputs)
        kind = StringTensorType if textual else number
        return [("input", kind([None, len(spec.inputs)]))]
    types = []
    for one in spec.inputs:
        if one.kind is Kind.STRING:
            kind = StringTensorType
        elif way.integers and not one.nullable and one.kind in (Kind.INTEGER, Kind.BOOLEAN):
            kind = Int64TensorType
        else:
            kind = number
        types.append((one.name, kind([None, 1])))
    return types


def _options(model: Any) -> dict[int, dict[str, Any]] | None:
    """No ZipMap: probabilities come as a tensor, not as one dictionary a row."""
    last = sklearn.final_step(model)
    known = hasattr(last, "classes_")
    return {id(last): {"zipmap": False}} if known else None


def _custom(
    model: Any, way: Way
) -> tuple[dict[type, Callable[..., None]], dict[type, Callable[..., None]]]:
    """Converters and shapes for the ensembles of trees inside *model*, by type."""
    converters: dict[type, Callable[..., None]] = {}
    shapes: dict[type, Callable[..., None]] = {}
    for part in sklearn.parts(model):
        found = None if type(part) in converters else _converter_of(part)
        if found is None:
            continue
        converter, shape = found
        arithmetic = arithmetic_of(part)
        if arithmetic is not None:
            converters[type(part)] = exactly(
                converter, arithmetic, double=way.double, zeros_missing=way.zeros_missing
            )
            shapes[type(part)] = _scores(shape, double=way.double)
        elif (special := converter_for(part, converter)) is not None:
            converters[type(part)] = special
            shapes[type(part)] = shape_for(part, shape)
    return converters, shapes


def _converter_of(part: Any) -> tuple[Callable[..., None], Callable[..., None]] | None:
    from skl2onnx import _supported_operators as supported
    from skl2onnx.common import _registration as registered
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    classifier = hasattr(part, "classes_")
    shape = (
        calculate_linear_classifier_output_shapes
        if classifier
        else calculate_linear_regressor_output_shapes
    )
    root = type(part).__module__.split(".", 1)[0]
    if root == "lightgbm":
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        return _registered(part, shape, convert_lightgbm)
    if root == "xgboost":
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        return _registered(part, shape, convert_xgboost)
    alias = supported.sklearn_operator_name_map.get(type(part))
    if alias is None:
        return None
    known = registered.get_converter(alias)
    if arithmetic_of(part) is Arithmetic.DOUBLE and classifier:
        from skl2onnx.operator_converters import random_forest

        known = _hist_gradient_boosting(random_forest.convert_sklearn_random_forest_classifier)
    return known, registered.get_shape_calculator(alias)


def _registered(
    part: Any, shape: Callable[..., None], converter: Callable[..., None]
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Make a class of another library known to skl2onnx, which asks its own table for options."""
    from skl2onnx import update_registered_converter

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    update_registered_converter(
        type(part),
        f"Shipway{type(part).__name__}",
        shape,
        converter,
        options=options if hasattr(part, "classes_") else None,
    )
    return converter, shape


def _hist_gradient_boosting(converter: Callable[..., None]) -> Callable[..., None]:
    """The converter of skl2onnx keeps float64 thresholds only if told of ONNX-ML 3."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        converter(scope, operator, container, op_version=3)

    return converted


def _scores(shape: Callable[..., None], *, double: bool) -> Callable[..., None]:
    """The shape of a tree model's outputs with the type of its scores put right."""

    def shaped(operator: Any) -> None:
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

        shape(operator)
        scores = operator.outputs[-1]
        scores.type = (DoubleTensorType if double else FloatTensorType)(scores.type.shape)

    return shaped


def _with_named_missing(model: Any) -> Any:
    """A copy of *model* that knows a missing string under a name that ONNX can carry."""
    named = copy.deepcopy(model)
    for part in sklearn.parts(named):
        for position, values in _missing_categories(part):
            part.categories_[position] = values
        fills = np.asarray(getattr(part, "statistics_", ()))
        if type(part).__name__ == "SimpleImputer" and fills.dtype == object:
            part.missing_values = MISSING_STRING
        if hasattr(part, "flatten_transform"):
            part.flatten_transform = False  # refused by the converter, without use in predicting
    return named


def _missing_categories(part: Any) -> Iterator[tuple[int, Any]]:
    """The category arrays of an encoder of strings that hold None or NaN, with those renamed."""
    categories = getattr(part, "categories_", None)
    if not isinstance(categories, list):
        return
    for position, values in enumerate(categories):
        plain = np.asarray(values, dtype=object)
        missing = np.array([text_of(value) == "missing" and value != "missing" for value in plain])
        if missing.any() and any(isinstance(value, str) for value in plain):
            plain = plain.copy()
            plain[missing] = MISSING_STRING
            yield position, plain
