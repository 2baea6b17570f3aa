"""Trees that branch in ONNX exactly where the original branches.

The converters write thresholds as float32, rounded to the nearest, while the trees compare
otherwise, and a row between the two takes the other branch:

- LightGBM and HistGradientBoosting compare float64 with float64;
- scikit-learn's other trees compare float32 with float64, so that the largest float32 not above
  the threshold decides the same;
- XGBoost compares float32 with float32.

ONNX-ML 3 lets ``TreeEnsemble*`` carry float64 thresholds and leaves (``nodes_values_as_tensor``
and the like) for float64 inputs. So a tree's inputs are made float64 here, by way of float32
where the original goes that way, and nothing is rounded but the final score. Where only float32
features can be had for a float64 model, thresholds are rounded like the features: to nearest.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import numpy as np

_OPSET_ML = 3
_AS_TENSORS = ("nodes_values", "class_weights", "target_weights", "base_values")
_Converter = Callable[[Any, Any, Any], None]


class Arithmetic(StrEnum):
    """In which numbers the original compares features with thresholds."""

    SINGLE = "single"
    DOUBLE = "double"


def arithmetic_of(part: Any) -> Arithmetic | None:
    """How the trees of *part* compare, None if it is no ensemble of trees that is known here."""
    module, name = type(part).__module__, type(part).__name__
    if name.startswith("LGBM") and module.startswith("lightgbm."):
        return Arithmetic.DOUBLE
    if name.startswith("XGB") and module.startswith("xgboost."):
        return Arithmetic.SINGLE
    if not module.startswith(("sklearn.tree.", "sklearn.ensemble.")):
        return None
    if name.startswith("HistGradientBoosting"):
        return Arithmetic.DOUBLE
    trees = ("DecisionTree", "ExtraTree", "RandomForest", "GradientBoosting")
    return Arithmetic.SINGLE if name.startswith(trees) else None


def exactly(
    convert: _Converter, arithmetic: Arithmetic, *, double: bool, zeros_missing: bool
) -> _Converter:
    """The converter *convert* with its tree nodes made exact.

    *double* says that features are float64; the scores, which these nodes give in float32, are
    then made float64 again for whatever comes after. *zeros_missing* is for XGBoost behind a
    sparse matrix, in which it takes every zero for a missing value.
    """

    def converted(scope: Any, operator: Any, container: Any) -> None:
        from onnx import TensorProto

        exact = _ExactTrees(
            scope, container, arithmetic, double=double, zeros_missing=zeros_missing
        )
        if not double:
            convert(scope, operator, exact)
            return
        scores = str(scope.get_unique_variable_name("scores"))
        convert(scope, _Renamed(operator, scores), exact)
        output = operator.outputs[-1].full_name
        container.add_node("Cast", [scores], [output], to=TensorProto.DOUBLE, op_version=13)

    return converted


class _Renamed:
    """An operator that gives its scores under another name."""

    def __init__(self, operator: Any, scores: str) -> None:
        self._operator = operator
        self.outputs = [*operator.outputs[:-1], SimpleNamespace(full_name=scores)]
        self.output_full_names = [one.full_name for one in self.outputs]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)


class _ExactTrees:
    """A converter's container that rewrites the tree nodes on their way in."""

    def __init__(
        self,
        scope: Any,
        container: Any,
        arithmetic: Arithmetic,
        *,
        double: bool,
        zeros_missing: bool,
    ) -> None:
        self._scope = scope
        self._container = container
        self._single = arithmetic is Arithmetic.SINGLE
        self._double = double
        self._zeros_missing = zeros_missing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        if op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
            attributes = self._exact(attributes)
            inputs = [self._as_double(inputs)]
        self._container.add_node(op_type, inputs, outputs, **attributes)

    def _as_double(self, inputs: Any) -> str:
        from onnx import TensorProto

        (name,) = [inputs] if isinstance(inputs, str) else inputs
        steps = (TensorProto.FLOAT, TensorProto.DOUBLE) if self._single else (TensorProto.DOUBLE,)
        for kind in steps:
            cast = self._scope.get_unique_variable_name("exact")
            self._container.add_node("Cast", [name], [cast], to=kind, op_version=13)
            name = cast
        return self._without_zeros(name) if self._zeros_missing and self._single else str(name)

    def _without_zeros(self, name: str) -> str:
        from onnx import TensorProto

        zero, gap, equal, output = (
            str(self._scope.get_unique_variable_name(one)) for one in ("zero", "gap", "is", "of")
        )
        self._container.add_initializer(zero, TensorProto.DOUBLE, [1], [0.0])
        self._container.add_initializer(gap, TensorProto.DOUBLE, [1], [float("nan")])
        self._container.add_node("Equal", [name, zero], [equal], op_version=13)
        self._container.add_node("Where", [equal, gap, name], [output], op_version=16)
        return output

    def _exact(self, attributes: dict[str, Any]) -> dict[str, Any]:
        from onnx.numpy_helper import from_array

        exact = {name: value for name, value in attributes.items() if name != "nodes_hitrates"}
        for name in _AS_TENSORS:
            values = exact.pop(name, None)
            if values is None:
                continue
            numbers = np.asarray(values, dtype=np.float64).ravel()
            if self._single and name == "nodes_values":
                numbers = float32_thresholds(numbers, exact["nodes_modes"])
            elif not self._double and name == "nodes_values":
                numbers = numbers.astype(np.float32).astype(np.float64)
            if numbers.size:
                exact[f"{name}_as_tensor"] = from_array(numbers, name=f"{name}_as_tensor")
        exact["op_version"] = _OPSET_ML
        return exact


def float32_thresholds(thresholds: Any, modes: list[Any]) -> Any:
    """The float32 numbers (as float64) that decide like *thresholds* for every float32 feature.

    ``x <= t`` holds for a float32 x exactly if ``x <= f`` with f the largest float32 not above t.
    Other comparisons are XGBoost's, whose thresholds are float32 written in decimal: nearest.
    """
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    at_most = np.array([mode in ("BRANCH_LEQ", b"BRANCH_LEQ") for mode in modes])
    return np.where(at_most & (nearest > thresholds), below, nearest).astype(np.float64)
