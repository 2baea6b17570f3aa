"""ONNX files from elsewhere are made out or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import ModelFileError, ModelMismatch, PredictionFailed
from shipway.runtimes.exported import take_in
from shipway.runtimes.onnx import OnnxModel, Session
from shipway.runtimes.port import Columns, Packed

FLOAT, DOUBLE, INT64, STRING = 1, 11, 7, 8
COLUMNS: Columns = {
    "x": np.array([-1.0, 0.5, 2.0]),
    "n": np.array([1, 0, 3]),
}


def _contract(
    *,
    task: Task = Task.BINARY,
    nullable: bool = False,
    features: Sequence[tuple[str, Kind]] = (("x", Kind.NUMBER), ("n", Kind.INTEGER)),
    classes: tuple[str, ...] = ("0", "1"),
) -> Contract:
    columns = [Column(name=name, kind=kind, nullable=nullable) for name, kind in features]
    kind = Kind.NUMBER if task is Task.REGRESSION else Kind.INTEGER
    target = Column(name="y", kind=kind, role=Role.TARGET, categories=classes or None)
    return Contract(model="m", task=task, columns=(*columns, target))


def _graph(
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, int, Sequence[Any]]],
    outputs: Sequence[tuple[str, int, Sequence[Any]]],
    constants: dict[str, NDArray[Any]] | None = None,
) -> bytes:
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return data


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, inputs, outputs, **attributes)


def _linear(*, sigmoid: bool = True, kind: int = FLOAT) -> bytes:
    """One matrix in, x + n (or its sigmoid) out, in one column."""
    weights = np.ones((2, 1), np.float32 if kind == FLOAT else np.float64)
    nodes = [_node("MatMul", ["input", "w"], ["raw" if sigmoid else "score"])]
    nodes += [_node("Sigmoid", ["raw"], ["score"])] if sigmoid else []
    return _graph(nodes, [("input", kind, [None, 2])], [("score", kind, [None, 1])], {"w": weights})


def _model(packed: Packed) -> OnnxModel:
    return OnnxModel(packed.spec, Session(packed.files["model.onnx"]))


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE])
def test_a_matrix_and_one_probability_are_understood(kind: int) -> None:
    """One matrix takes the contract's order; one column is the positive class's probability."""
    packed = take_in(_linear(kind=kind), _contract(), COLUMNS, positive=None)
    assert packed.parity is None
    assert "no original to compare with" in packed.notes[-1]
    assert "contract's order" in packed.notes[0]
    expected = 1 / (1 + np.exp(-(COLUMNS["x"].astype(float) + COLUMNS["n"].astype(float))))
    answers = _model(packed).predict(COLUMNS)
    np.testing.assert_allclose(answers[:, 1], expected, atol=1e-6)
    np.testing.assert_allclose(answers.sum(axis=1), 1)


def test_one_probability_is_of_the_class_called_positive() -> None:
    """Where the positive class is named, the one column is its probability."""
    packed = take_in(_linear(), _contract(), COLUMNS, positive="0")
    assert packed.spec.classes == (1, 0)
    assert "probability of 0" in packed.notes[-1]


def test_one_tensor_a_column_is_matched_by_name() -> None:
    """Inputs of shape (n, 1) or (n,) are the contract's columns by name."""
    nodes = [
        _node("Cast", ["n"], ["f"], to=FLOAT),
        _node("Reshape", ["f", "shape"], ["c"]),
        _node("Add", ["x", "c"], ["raw"]),
        _node("Sigmoid", ["raw"], ["p"]),
    ]
    data = _graph(
        nodes,
        [("n", INT64, [None]), ("x", FLOAT, [None, 1])],
        [("p", FLOAT, [None, 1])],
        {"shape": np.array([-1, 1])},
    )
    packed = take_in(data, _contract(), COLUMNS, positive=None)
    assert [one.name for one in packed.spec.inputs] == ["n", "x"]
    assert packed.spec.options["layout"] == "columns"
    assert _model(packed).predict(COLUMNS).shape == (3, 2)


def test_columns_of_another_name_are_refused_with_the_likely_one() -> None:
    """A renamed input is told with the column that it may be."""
    data = _graph(
        [_node("Add", ["xx", "n"], ["p"])],
        [("xx", FLOAT, [None, 1]), ("n", FLOAT, [None, 1])],
        [("p", FLOAT, [None, 1])],
    )
    contract = _contract(features=(("x_x", Kind.NUMBER), ("n", Kind.INTEGER)))
    with pytest.raises(ModelMismatch) as caught:
        take_in(data, contract, COLUMNS, positive=None)
    assert caught.value.problems[0].hint == "did you mean 'x_x'?"


def test_logits_are_refused_with_the_remedy() -> None:
    """Scores that are no probabilities are refused: a threshold would mean something else."""
    with pytest.raises(ModelMismatch, match="no output is probabilities") as caught:
        take_in(_linear(sigmoid=False), _contract(), COLUMNS, positive=None)
    assert "softmax or sigmoid" in caught.value.next_step
    assert "reach from" in caught.value.problems[0].message


def test_regression_takes_the_value() -> None:
    """In regression the one output is the value."""
    contract = _contract(task=Task.REGRESSION, classes=())
    packed = take_in(_linear(sigmoid=False), contract, COLUMNS, positive=None)
    np.testing.assert_allclose(_model(packed).predict(COLUMNS), [0.0, 0.5, 5.0])


def _classifier(labels: list[int], *, zipmap: bool = False) -> bytes:
    """skl2onnx's usual form: labels and probabilities of two classes."""
    nodes = [
        _node(
            "LinearClassifier",
            ["input"],
            ["label", "probabilities"],
            domain="ai.onnx.ml",
            coefficients=[-1.0, -1.0, 1.0, 1.0],
            intercepts=[0.0, 0.0],
            classlabels_ints=labels,
            post_transform="SOFTMAX",
        )
    ]
    outputs: list[tuple[str, int, Sequence[Any]]] = [
        ("label", INT64, [None]),
        ("probabilities", FLOAT, [None, 2]),
    ]
    if not zipmap:
        return _graph(nodes, [("input", FLOAT, [None, 2])], outputs)
    from onnx import ModelProto, helper

    nodes += [
        _node("ZipMap", ["probabilities"], ["z"], domain="ai.onnx.ml", classlabels_int64s=labels)
    ]
    model = ModelProto.FromString(_graph(nodes, [("input", FLOAT, [None, 2])], outputs[:1]))
    kind = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
    model.graph.output.append(helper.make_value_info("z", helper.make_sequence_type_proto(kind)))
    data: bytes = model.SerializeToString()
    return data


def test_labels_and_probabilities_are_understood() -> None:
    """Of a label and a probability output the probabilities are taken."""
    packed = take_in(_classifier([0, 1]), _contract(), COLUMNS, positive=None)
    assert packed.spec.options["output"] == "probabilities"
    assert packed.spec.classes == (0, 1)


def test_classes_in_another_order_are_found_out() -> None:
    """Labels that the probabilities do not favour show that the order is not what is assumed."""
    with pytest.raises(ModelMismatch, match="in 0 of 3 rows only"):
        take_in(_classifier([1, 0]), _contract(), COLUMNS, positive=None)


def test_zipmap_is_refused_with_how_to_export_again() -> None:
    """One dictionary a row is slow and untyped; the remedy is an option of the exporter."""
    with pytest.raises(ModelMismatch) as caught:
        take_in(_classifier([0, 1], zipmap=True), _contract(), COLUMNS, positive=None)
    assert caught.value.problems[0].code == "model.output-zipmap"
    assert "'zipmap': False" in caught.value.problems[0].hint


def test_two_outputs_that_could_be_it_are_refused() -> None:
    """Between two outputs that would both do nobody can choose but the exporter."""
    data = _graph(
        [_node("Sigmoid", ["input"], ["a"]), _node("Identity", ["input"], ["b"])],
        [("input", FLOAT, [None, 1])],
        [("a", FLOAT, [None, 1]), ("b", FLOAT, [None, 1])],
    )
    contract = _contract(task=Task.REGRESSION, classes=(), features=(("x", Kind.NUMBER),))
    with pytest.raises(ModelMismatch, match="more than one output"):
        take_in(data, contract, COLUMNS, positive=None)


def test_times_are_refused() -> None:
    """ONNX has no times; a contract that has one as a feature cannot be met."""
    contract = _contract(features=(("x", Kind.NUMBER), ("n", Kind.TIMESTAMP)))
    sample = {"x": np.ones(2), "n": np.zeros(2, "datetime64[us]")}
    with pytest.raises(ModelMismatch, match="no times"):
        take_in(_linear(), contract, sample, positive=None)


def test_a_fixed_number_of_rows_is_refused() -> None:
    """A graph for one row at a time cannot answer a batch."""
    data = _graph(
        [_node("Sigmoid", ["input"], ["p"])], [("input", FLOAT, [1, 2])], [("p", FLOAT, [1, 2])]
    )
    with pytest.raises(ModelMismatch, match="exactly 1 rows"):
        take_in(data, _contract(), COLUMNS, positive=None)


def test_weights_beside_the_file_are_refused() -> None:
    """A version's digest must cover every weight, and no other file may be read."""
    from onnx import ModelProto, TensorProto

    model = ModelProto.FromString(_linear())
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "/etc/hostname"), ("offset", "0"), ("length", "8")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    with pytest.raises(ModelFileError, match="files beside it"):
        take_in(model.SerializeToString(), _contract(), COLUMNS, positive=None)


def _strings() -> bytes:
    """The text of s is "b" or not."""
    nodes = [
        _node(
            "LabelEncoder",
            ["s"],
            ["p"],
            domain="ai.onnx.ml",
            keys_strings=["b"],
            values_floats=[0.9],
            default_float=0.2,
        )
    ]
    return _graph(nodes, [("s", STRING, [None, 1])], [("p", FLOAT, [None, 1])])


def test_strings_reach_the_graph_and_missing_ones_are_refused() -> None:
    """onnxruntime would write "None" for a missing string; refusing is honest, and noted."""
    contract = _contract(features=(("s", Kind.STRING),), nullable=True)
    sample = {"s": np.array(["a", "b"], dtype=object)}
    packed = take_in(_strings(), contract, sample, positive=None)
    assert "missing string are refused" in packed.notes[-1]
    model = _model(packed)
    np.testing.assert_allclose(model.predict(sample)[:, 1], [0.2, 0.9], atol=1e-6)
    with pytest.raises(PredictionFailed, match="'s' is missing"):
        model.predict({"s": np.array(["a", None], dtype=object)})
    with pytest.raises(PredictionFailed, match="UnicodeEncodeError"):
        model.predict({"s": np.array(["\ud800"], dtype=object)})


def test_a_missing_integer_is_refused_where_the_graph_takes_integers() -> None:
    """NaN must not become a number on its way into an integer input."""
    data = _graph(
        [_node("Cast", ["n"], ["v"], to=FLOAT)],
        [("n", INT64, [None, 1])],
        [("v", FLOAT, [None, 1])],
    )
    contract = _contract(
        task=Task.REGRESSION, classes=(), features=(("n", Kind.INTEGER),), nullable=True
    )
    packed = take_in(data, contract, {"n": np.array([1.0, 2.0])}, positive=None)
    with pytest.raises(PredictionFailed, match="'n' is missing"):
        _model(packed).predict({"n": np.array([1.0, np.nan])})


def test_a_string_column_needs_a_string_input() -> None:
    """A float input cannot be a column of strings; the kinds are named."""
    contract = _contract(features=(("x", Kind.STRING), ("n", Kind.INTEGER)))
    with pytest.raises(ModelFileError, match="'x' is string in the contract"):
        take_in(_linear(), contract, COLUMNS, positive=None)
