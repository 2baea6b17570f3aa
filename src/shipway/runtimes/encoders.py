"""Steps before the model that the converters of skl2onnx do not carry over whole.

Each converter here takes one case and leaves every other to skl2onnx:

- ``SimpleImputer`` on float64 (onnxruntime has no ``Imputer`` for it);
- ``OrdinalEncoder`` on strings, with missing and unknown values as scikit-learn codes them;
- ``OneHotEncoder`` on strings with infrequent categories, unknown ones included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shipway.domain.text import text_of
from shipway.runtimes.onnx import MISSING_STRING

_Converter = Callable[[Any, Any, Any], None]
_ML = "ai.onnx.ml"


def converter_for(part: Any, known: _Converter) -> _Converter | None:
    """A converter for *part* that falls back on *known*; None where *known* alone will do."""
    special = {
        "SimpleImputer": _impute,
        "OrdinalEncoder": _ordinal,
        "OneHotEncoder": _one_hot,
    }.get(type(part).__name__)
    if special is None or not type(part).__module__.startswith("sklearn."):
        return None

    def converted(scope: Any, operator: Any, container: Any) -> None:
        if not special(scope, operator, container):
            known(scope, operator, container)

    return converted


def shape_for(part: Any, known: Callable[[Any], None]) -> Callable[[Any], None]:
    """The shape of *part*'s output; skl2onnx counts infrequent categories one by one."""

    def shaped(operator: Any) -> None:
        known(operator)
        widths = getattr(operator.raw_operator, "_n_features_outs", None)
        if widths is not None:
            operator.outputs[0].type.shape[1] = int(sum(widths))

    return shaped


def _impute(scope: Any, operator: Any, container: Any) -> bool:
    from skl2onnx.common.data_types import DoubleTensorType

    step = operator.raw_operator
    fills = np.asarray(step.statistics_)
    numeric = all(isinstance(one.type, DoubleTensorType) for one in operator.inputs)
    if not numeric or step.missing_values is None or not np.isnan(step.missing_values):
        return False
    if step.add_indicator or np.isnan(fills.astype(np.float64)).any():
        return False
    values = _joined(scope, operator, container)
    missing = scope.get_unique_variable_name("missing")
    container.add_node("IsNaN", [values], [missing], op_version=13)
    filling = _constant(scope, container, fills.astype(np.float64).reshape(1, -1))
    output = operator.outputs[0].full_name
    container.add_node("Where", [missing, filling, values], [output], op_version=16)
    return True


def _ordinal(scope: Any, operator: Any, container: Any) -> bool:
    """Codes by way of a position, so that an unknown string fails where it fails originally."""
    step = operator.raw_operator
    if not _all_strings(operator) or not np.issubdtype(step.dtype, np.floating):
        return False
    if getattr(step, "_infrequent_enabled", False):
        return False
    outputs = []
    columns = _columns(scope, operator, container)
    for column, categories in zip(columns, step.categories_, strict=True):
        codes = [
            step.encoded_missing_value if _is_missing(value) else float(position)
            for position, value in enumerate(categories)
        ]
        if step.handle_unknown != "error":
            codes.append(float(step.unknown_value))
        # Where unknown strings are an error, the position past the end makes Gather fail.
        size = len(categories)
        position = _position(scope, container, column, categories, range(size), unknown=size)
        table = _constant(scope, container, np.array(codes, dtype=np.float32))
        coded = scope.get_unique_variable_name("coded")
        container.add_node("Gather", [table, position], [coded], axis=0, op_version=13)
        outputs.append(coded)
    container.add_node("Concat", outputs, [operator.outputs[0].full_name], axis=1, op_version=13)
    return True


def _one_hot(scope: Any, operator: Any, container: Any) -> bool:
    """One-hot positions as scikit-learn itself computes them for each category it knows."""
    step = operator.raw_operator
    if not _all_strings(operator) or not getattr(step, "_infrequent_enabled", False):
        return False
    if not np.issubdtype(step.dtype, np.floating) or step.drop is not None:
        return False
    widths = [int(width) for width in step._n_features_outs]  # noqa: SLF001
    outputs = []
    for index, column in enumerate(_columns(scope, operator, container)):
        grouped = step.infrequent_categories_[index] is not None
        unknown = -1
        if step.handle_unknown == "infrequent_if_exist" and grouped:
            unknown = widths[index] - 1
        places = _one_hot_places(step, index, widths)
        position = _position(
            scope, container, column, step.categories_[index], places, unknown=unknown
        )
        hot, flat = (scope.get_unique_variable_name(name) for name in ("hot", "flat"))
        container.add_node(
            "OneHotEncoder",
            [position],
            [hot],
            op_domain=_ML,
            op_version=1,
            cats_int64s=list(range(widths[index])),
            zeros=0 if step.handle_unknown == "error" else 1,
        )
        shape = _constant(scope, container, np.array([-1, widths[index]], dtype=np.int64))
        container.add_node("Reshape", [hot, shape], [flat], op_version=14)
        outputs.append(flat)
    container.add_node("Concat", outputs, [operator.outputs[0].full_name], axis=1, op_version=13)
    return True


def _one_hot_places(step: Any, index: int, widths: list[int]) -> list[int]:
    """The position within its own block of each category of the column *index*."""
    categories = step.categories_[index]
    rows = np.empty((len(categories), len(step.categories_)), dtype=object)
    for other, known in enumerate(step.categories_):
        rows[:, other] = known[0]
    rows[:, index] = categories
    encoded = step.transform(rows)
    dense = encoded.toarray() if hasattr(encoded, "toarray") else np.asarray(encoded)
    start = sum(widths[:index])
    block = dense[:, start : start + widths[index]]
    return [int(place) for place in block.argmax(axis=1)]


def _position(
    scope: Any, container: Any, column: str, categories: Any, places: Any, *, unknown: int
) -> str:
    output = scope.get_unique_variable_name("position")
    container.add_node(
        "LabelEncoder",
        [column],
        [output],
        op_domain=_ML,
        op_version=2,
        keys_strings=[str(value).encode() for value in categories],
        values_int64s=list(places),
        default_int64=unknown,
    )
    return str(output)


def _columns(scope: Any, operator: Any, container: Any) -> list[str]:
    """One tensor of shape (n, 1) a column, whether they come apart or side by side."""
    inputs = operator.inputs
    if all(one.type.shape[1] == 1 for one in inputs):
        return [one.full_name for one in inputs]
    joined = _joined(scope, operator, container)
    columns = []
    for index in range(len(operator.raw_operator.categories_)):
        column = scope.get_unique_variable_name("column")
        place = _constant(scope, container, np.array([index], dtype=np.int64))
        container.add_node("Gather", [joined, place], [column], axis=1, op_version=13)
        columns.append(column)
    return columns


def _joined(scope: Any, operator: Any, container: Any) -> str:
    """All inputs side by side; skl2onnx would round float64 ones on the way."""
    names = [one.full_name for one in operator.inputs]
    if len(names) == 1:
        return str(names[0])
    output = str(scope.get_unique_variable_name("joined"))
    container.add_node("Concat", names, [output], axis=1, op_version=13)
    return output


def _constant(scope: Any, container: Any, values: Any) -> str:
    from onnx.numpy_helper import from_array

    name = str(scope.get_unique_variable_name("constant"))
    tensor = from_array(values, name)
    container.add_initializer(name, tensor.data_type, values.shape, values.ravel())
    return name


def _all_strings(operator: Any) -> bool:
    from skl2onnx.common.data_types import StringTensorType

    return all(isinstance(one.type, StringTensorType) for one in operator.inputs)


def _is_missing(value: Any) -> bool:
    return value == MISSING_STRING if isinstance(value, str) else text_of(value) == "missing"
