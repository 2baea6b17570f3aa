"""What every runtime promises, asked of each in the same words."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import ModelFileError, PredictionFailed
from shipway.runtimes import lightgbm as lightgbm_runtime
from shipway.runtimes import sklearn as sklearn_runtime
from shipway.runtimes import xgboost as xgboost_runtime
from shipway.runtimes.conversion import Way, convert
from shipway.runtimes.loading import load_model
from shipway.runtimes.port import Model
from shipway.runtimes.sources import MAIN_FILE, archive

ROWS = 300
NAMES = ("hour", "distance", "gust")


@dataclass(frozen=True)
class Case:
    """A model of one runtime: its file, and what its own library answers."""

    spec: ModelSpec
    data: bytes
    expected: NDArray[np.float64]

    def load(self, folder: Path) -> Model:
        path = folder / self.spec.main_file
        path.write_bytes(self.data)
        return load_model(self.spec, {self.spec.main_file: path})


def _columns() -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(5)
    gust = random.gamma(2.0, 10.0, ROWS)
    gust[random.random(ROWS) < 0.3] = np.nan
    return {
        "hour": random.integers(5, 24, ROWS),
        "distance": random.uniform(100, 3000, ROWS),
        "gust": gust,
    }


def _spec(format_: str, main_file: str, **options: Any) -> ModelSpec:
    kinds = {"hour": Kind.INTEGER}
    return ModelSpec(
        format=format_,
        task=Task.BINARY,
        inputs=tuple(
            InputSpec(name, kinds.get(name, Kind.NUMBER), nullable=name == "gust") for name in NAMES
        ),
        classes=(0, 1),
        main_file=main_file,
        options=options,
    )


def _truth(columns: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    logit = (columns["hour"] - 12) / 4 + np.nan_to_num(columns["gust"]) / 20 - 0.5
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-logit))
    return (np.random.default_rng(6).random(ROWS) < chance).astype(np.int64)


def _booster_case(
    classifier: Any, runtime: Any, format_: str, columns: dict[str, NDArray[Any]]
) -> Case:
    matrix = np.column_stack([columns[name] for name in NAMES])
    classifier.fit(matrix, _truth(columns))
    main_file, data = runtime.save(classifier)
    return Case(_spec(format_, main_file), data, classifier.predict_proba(matrix))


def _lightgbm(columns: dict[str, NDArray[Any]]) -> Case:
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=12, verbose=-1, n_jobs=1)
    return _booster_case(model, lightgbm_runtime, "lightgbm", columns)


def _xgboost(columns: dict[str, NDArray[Any]]) -> Case:
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=12, n_jobs=1)
    return _booster_case(model, xgboost_runtime, "xgboost", columns)


def _forest(columns: dict[str, NDArray[Any]]) -> tuple[Any, NDArray[np.float64]]:
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    frame = pd.DataFrame(columns)
    model = make_pipeline(SimpleImputer(), RandomForestClassifier(10, max_depth=5, random_state=0))
    return model.fit(frame, _truth(columns)), model.predict_proba(frame)


def _sklearn(columns: dict[str, NDArray[Any]]) -> Case:
    model, expected = _forest(columns)
    main_file, data = sklearn_runtime.save(model)
    return Case(_spec("sklearn", main_file, layout="frame"), data, expected)


def _onnx(columns: dict[str, NDArray[Any]]) -> Case:
    model, expected = _forest(columns)
    spec = _spec("onnx", "model.onnx", layout="matrix", output="probabilities")
    return Case(spec, convert(model, spec, Way(double=True)), expected)


def _onnx_columns(columns: dict[str, NDArray[Any]]) -> Case:
    import pandas as pd
    from lightgbm import LGBMClassifier
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline

    frame = pd.DataFrame(columns)
    model = make_pipeline(
        ColumnTransformer([("all", "passthrough", list(NAMES))]),
        LGBMClassifier(n_estimators=12, verbose=-1, n_jobs=1),
    ).fit(frame, _truth(columns))
    spec = _spec("onnx", "model.onnx", layout="columns", output="probabilities")
    return Case(spec, convert(model, spec, Way(double=True)), model.predict_proba(frame))


_CODE = """
import numpy as np

class Model:
    def __init__(self, files):
        with np.load(files / "weights.npz") as weights:
            self.weights, self.bias = weights["weights"], float(weights["bias"])

    def predict(self, frame):
        rows = np.column_stack([frame["hour"], frame["distance"], np.nan_to_num(frame["gust"])])
        return 1 / (1 + np.exp(-(rows @ self.weights + self.bias)))
"""


def _python(columns: dict[str, NDArray[Any]]) -> Case:
    weights, bias = np.array([0.25, 0.0001, 0.05]), -3.5
    buffer = io.BytesIO()
    np.savez(buffer, weights=weights, bias=bias)
    data = archive({"serving.py": _CODE.encode(), "weights.npz": buffer.getvalue()})
    gust = np.nan_to_num(columns["gust"])
    rows = np.column_stack([columns["hour"], columns["distance"], gust])
    late = 1 / (1 + np.exp(-(rows @ weights + bias)))
    spec = _spec("python", MAIN_FILE, entry="serving:Model")
    return Case(spec, data, np.column_stack([1 - late, late]))


_CASES: dict[str, Callable[[dict[str, NDArray[Any]]], Case]] = {
    "onnx of one matrix": _onnx,
    "onnx of columns": _onnx_columns,
    "sklearn": _sklearn,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "python": _python,
}


@pytest.fixture(scope="module")
def columns() -> dict[str, NDArray[Any]]:
    return _columns()


@pytest.fixture(scope="module")
def cases(columns: dict[str, NDArray[Any]]) -> dict[str, Case]:
    return {name: make(columns) for name, make in _CASES.items()}


@pytest.mark.parametrize("runtime", list(_CASES))
class TestRuntime:
    """One promise a method; every runtime keeps all of them."""

    @pytest.fixture
    def case(self, runtime: str, cases: dict[str, Case]) -> Case:
        return cases[runtime]

    @pytest.fixture
    def model(self, case: Case, tmp_path: Path) -> Iterator[Model]:
        with closing(case.load(tmp_path)) as model:
            yield model

    def test_answers_as_the_library_does(
        self, case: Case, model: Model, columns: dict[str, NDArray[Any]]
    ) -> None:
        """A model loaded from its bytes answers as its own library did, missing values included."""
        answers = model.predict(columns)
        assert answers.dtype == np.float64
        assert answers.shape == (ROWS, 2)
        np.testing.assert_allclose(answers, case.expected, atol=1e-6)

    def test_says_what_it_was_loaded_with(self, case: Case, model: Model) -> None:
        """A loaded model carries the specification that it was loaded with."""
        assert model.spec == case.spec

    def test_a_row_alone_is_the_row_among_many(
        self, model: Model, columns: dict[str, NDArray[Any]]
    ) -> None:
        """A row gets the same answer alone as in company, so drained batches change nothing."""
        together = model.predict(columns)
        for row in range(20):
            alone = model.predict({name: values[row : row + 1] for name, values in columns.items()})
            np.testing.assert_allclose(alone[0], together[row], atol=1e-12)

    def test_more_columns_than_needed_do_no_harm(
        self, model: Model, columns: dict[str, NDArray[Any]]
    ) -> None:
        """Columns that the model does not take are left alone, in whatever order they come."""
        more = {"extra": np.full(ROWS, "x", dtype=object), **dict(reversed(columns.items()))}
        np.testing.assert_array_equal(model.predict(more), model.predict(columns))

    def test_no_rows_are_refused(self, model: Model, columns: dict[str, NDArray[Any]]) -> None:
        """Asking about no rows is an error, not an empty answer."""
        with pytest.raises(PredictionFailed, match="no rows"):
            model.predict({name: values[:0] for name, values in columns.items()})

    def test_a_column_of_one_row_is_not_stretched(
        self, model: Model, columns: dict[str, NDArray[Any]]
    ) -> None:
        """A single value is not taken for all rows, as numpy and ONNX would."""
        with pytest.raises(PredictionFailed, match="different lengths"):
            model.predict({**columns, "gust": columns["gust"][:1]})

    def test_a_missing_column_is_named(
        self, model: Model, columns: dict[str, NDArray[Any]]
    ) -> None:
        """Columns that are not there are all named."""
        with pytest.raises(PredictionFailed, match="hour, gust"):
            model.predict({"distance": columns["distance"]})

    def test_uneven_columns_are_refused(
        self, model: Model, columns: dict[str, NDArray[Any]]
    ) -> None:
        """Columns of different lengths are an error."""
        with pytest.raises(PredictionFailed, match="different lengths"):
            model.predict({**columns, "gust": columns["gust"][:7]})

    def test_strange_values_fail_as_a_prediction(
        self, model: Model, columns: dict[str, NDArray[Any]]
    ) -> None:
        """Whatever a library raises at values that it cannot take is one kind of error."""
        text = np.full(ROWS, "not a number", dtype=object)
        with pytest.raises(PredictionFailed, match="raised"):
            model.predict({**columns, "gust": text})

    def test_a_closed_model_answers_no_more(
        self, model: Model, columns: dict[str, NDArray[Any]]
    ) -> None:
        """Predicting after close is an error."""
        model.close()
        with pytest.raises(PredictionFailed):
            model.predict(columns)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
    def test_a_cut_off_file_is_refused(self, case: Case, tmp_path: Path, share: float) -> None:
        """A file that was cut off is an error when it is loaded, not a crash."""
        cut = Case(case.spec, case.data[: int(len(case.data) * share)], case.expected)
        with pytest.raises(ModelFileError):
            cut.load(tmp_path)

    def test_bytes_of_another_format_are_refused(
        self, case: Case, cases: dict[str, Case], tmp_path: Path
    ) -> None:
        """A file of another format than the manifest says is an error, whichever it is."""
        for foreign in cases.values():
            if foreign.spec.format != case.spec.format:
                with pytest.raises(ModelFileError):
                    Case(case.spec, foreign.data, case.expected).load(tmp_path)

    def test_a_file_that_is_gone_is_an_error(self, case: Case, tmp_path: Path) -> None:
        """A path without a file, or no path at all, is a clear error."""
        name = case.spec.main_file
        with pytest.raises(ModelFileError, match="cannot be read"):
            load_model(case.spec, {name: tmp_path / "gone"})
        with pytest.raises(ModelFileError, match="not among those given"):
            load_model(case.spec, {})
