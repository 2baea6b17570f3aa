"""Model files are packed, proved, and answer as they did where they were trained."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import (
    ModelFileError,
    ModelMismatch,
    PickleRefused,
    PredictionFailed,
)
from shipway.runtimes.packing import pack, reload
from shipway.runtimes.port import Packed, SourceInfo

ROWS = 2_000
TEXTS = ["carrier", "dest"]
NUMBERS = ["hour", "distance", "seen_at", "temp", "gust", "rain"]
KINDS = {
    "carrier": Kind.STRING,
    "dest": Kind.STRING,
    "hour": Kind.INTEGER,
    "distance": Kind.INTEGER,
    "rain": Kind.BOOLEAN,
}
NULLABLE = {"dest", "gust"}
LATE = Column(name="late", kind=Kind.INTEGER, role=Role.TARGET, categories=("0", "1"))


@dataclass(frozen=True)
class Flights:
    """Made-up flights: strings, integers, booleans, numbers, with missing ones among them."""

    columns: dict[str, NDArray[Any]]
    late: NDArray[np.int64]

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.columns)

    def some(self, names: list[str]) -> dict[str, NDArray[Any]]:
        return {name: self.columns[name] for name in names}


@pytest.fixture(scope="module")
def flights() -> Flights:
    random = np.random.default_rng(11)
    carrier = np.array(["AA", "B6", "DL", "UA"], dtype=object)[random.integers(0, 4, ROWS)]
    dest = np.array([f"D{n:02}" for n in range(40)], dtype=object)[random.integers(0, 40, ROWS)]
    dest[random.random(ROWS) < 0.05] = None
    gust = np.round(random.gamma(2.0, 10.0, ROWS), 2)
    gust[random.random(ROWS) < 0.4] = np.nan
    columns = {
        "carrier": carrier,
        "dest": dest,
        "hour": random.integers(5, 24, ROWS),
        "distance": random.integers(100, 3000, ROWS),
        # Seconds since 1970, which float32 would round to multiples of 128.
        "seen_at": 1.7e9 + random.integers(0, 2_000, ROWS).astype(np.float64),
        "temp": np.round(random.normal(50, 15, ROWS), 2),
        "gust": gust,
        "rain": random.random(ROWS) < 0.3,
    }
    logit = (columns["hour"] - 12) / 6 + (carrier == "B6") + np.nan_to_num(gust) / 30
    logit += (columns["seen_at"] - 1.7e9 > 1000) + columns["rain"] - 2.0
    late = (random.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    return Flights(columns, late)


def _contract(
    names: list[str], *, task: Task = Task.BINARY, target: Column = LATE, strict: bool = False
) -> Contract:
    columns = tuple(
        Column(
            name=name,
            kind=KINDS.get(name, Kind.NUMBER),
            nullable=name in NULLABLE and not strict,
        )
        for name in names
    )
    return Contract(model="m", task=task, columns=(*columns, target))


def _prepare(texts: Any = None, numbers: Any = "passthrough") -> ColumnTransformer:
    encoder = texts or OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("texts", encoder, TEXTS), ("numbers", numbers, NUMBERS)])


def _impute() -> Pipeline:
    return make_pipeline(SimpleImputer(), StandardScaler())


def _lgbm(**settings: Any) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, **settings)


def _xgb(**settings: Any) -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=20, n_jobs=1, **settings)


def _packed(
    model: Any,
    folder: Path,
    flights: Flights,
    names: list[str] | None = None,
    **contract: Any,
) -> tuple[Packed, SourceInfo]:
    path = folder / "model.joblib"
    joblib.dump(model, path)
    chosen = names or [*TEXTS, *NUMBERS]
    return pack(
        path,
        _contract(chosen, **contract),
        flights.some(chosen),
        threshold=1 / 6,
        positive=None,
        trust_pickle=True,
    )


_TO_ONNX: dict[str, Callable[[], Any]] = {
    "LightGBM behind one-hot": lambda: make_pipeline(_prepare(), _lgbm()),
    "LightGBM behind infrequent one-hot": lambda: make_pipeline(
        _prepare(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60)), _lgbm()
    ),
    "LightGBM behind ordinals": lambda: make_pipeline(
        _prepare(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)), _lgbm()
    ),
    "LightGBM behind strict ordinals": lambda: make_pipeline(_prepare(OrdinalEncoder()), _lgbm()),
    "XGBoost behind a dense matrix": lambda: make_pipeline(
        _prepare(OneHotEncoder(handle_unknown="ignore", sparse_output=False)), _xgb()
    ),
    "XGBoost behind a sparse matrix": lambda: make_pipeline(_prepare(), _xgb()),
    "random forest": lambda: make_pipeline(
        _prepare(None, _impute()), RandomForestClassifier(15, max_depth=8, random_state=0)
    ),
    "gradient boosting": lambda: make_pipeline(
        _prepare(None, _impute()), GradientBoostingClassifier(n_estimators=15, random_state=0)
    ),
    "histogram gradient boosting": lambda: make_pipeline(
        _prepare(OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
        HistGradientBoostingClassifier(max_iter=10),
    ),
    "logistic regression": lambda: make_pipeline(
        _prepare(None, _impute()), LogisticRegression(max_iter=300)
    ),
    "logistic regression, strict one-hot": lambda: make_pipeline(
        _prepare(OneHotEncoder(), _impute()), LogisticRegression(max_iter=300)
    ),
    "imputed strings": lambda: make_pipeline(
        _prepare(
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value="none"),
                OneHotEncoder(handle_unknown="ignore"),
            )
        ),
        _lgbm(),
    ),
}


@pytest.mark.parametrize("name", list(_TO_ONNX))
def test_pipelines_become_onnx_and_answer_the_same(
    name: str, flights: Flights, tmp_path: Path
) -> None:
    """A pipeline over strings and numbers with gaps is converted, exact on real rows, no flips."""
    model = _TO_ONNX[name]().fit(flights.frame, flights.late)
    packed, source = _packed(model, tmp_path, flights)
    assert packed.spec.format == "onnx", packed.notes
    assert packed.parity is not None
    assert packed.parity.largest_difference < 2e-6
    assert (packed.parity.flipped, packed.parity.rows) == (0, ROWS)
    answers = reload(packed.spec, packed.files).predict(flights.columns)
    np.testing.assert_allclose(answers, model.predict_proba(flights.frame), atol=2e-6)
    assert source.type.startswith("sklearn.Pipeline ending in")
    assert source.packages["scikit-learn"]


def test_a_category_that_the_original_refuses_is_refused(flights: Flights, tmp_path: Path) -> None:
    """Where the original raises at an unseen category, the packed model does not guess."""
    model = _TO_ONNX["LightGBM behind strict ordinals"]().fit(flights.frame, flights.late)
    packed, _ = _packed(model, tmp_path, flights)
    unseen = {**flights.columns, "carrier": np.full(ROWS, "ZZ", dtype=object)}
    with pytest.raises(PredictionFailed):
        reload(packed.spec, packed.files).predict(unseen)


@pytest.mark.parametrize(
    ("make", "layout"),
    [
        (_lgbm, "matrix"),
        (_xgb, "matrix"),
        (lambda: HistGradientBoostingClassifier(max_iter=10), "matrix"),
        (lambda: make_pipeline(SimpleImputer(), LogisticRegression(max_iter=50)), "matrix"),
    ],
)
@pytest.mark.parametrize("framed", [True, False])
def test_bare_models_become_onnx_of_one_matrix(
    make: Callable[[], Any], layout: str, framed: bool, flights: Flights, tmp_path: Path
) -> None:
    """A model without a column transformer takes one matrix, with names or without."""
    frame = flights.frame[NUMBERS]
    model = make().fit(frame if framed else frame.to_numpy(np.float64), flights.late)
    packed, _ = _packed(model, tmp_path, flights, NUMBERS)
    assert packed.spec.format == "onnx", packed.notes
    assert packed.spec.options["layout"] == layout
    assert ("without column names" in packed.notes[0]) is not framed


def test_pandas_categories_stay_with_lightgbm(flights: Flights, tmp_path: Path) -> None:
    """Categories that LightGBM codes itself are not converted; its text answers the same."""
    frame = flights.frame.astype(dict.fromkeys(TEXTS, "category"))
    model = _lgbm().fit(frame, flights.late)
    packed, _ = _packed(model, tmp_path, flights)
    assert packed.spec.format == "lightgbm"
    assert packed.parity is not None
    assert packed.parity.largest_difference < 1e-12
    assert "not ONNX: the model was trained on pandas categories" in packed.notes[-1]
    answers = reload(packed.spec, packed.files).predict(flights.columns)
    np.testing.assert_allclose(answers, model.predict_proba(frame), atol=1e-12)


def test_pandas_categories_stay_with_xgboost(flights: Flights, tmp_path: Path) -> None:
    """Categories that XGBoost codes itself are kept in its own file."""
    frame = flights.frame.astype(dict.fromkeys(TEXTS, "category"))
    model = _xgb(enable_categorical=True).fit(frame, flights.late)
    packed, _ = _packed(model, tmp_path, flights)
    assert packed.spec.format == "xgboost"
    answers = reload(packed.spec, packed.files).predict(flights.columns)
    np.testing.assert_allclose(answers, model.predict_proba(frame), atol=1e-6)


def test_what_no_converter_knows_is_kept_as_skops(flights: Flights, tmp_path: Path) -> None:
    """A step without a converter keeps the pipeline native, in skops, and the notes say so."""
    model = make_pipeline(
        ColumnTransformer([("log", FunctionTransformer(np.log1p), ["distance"])]),
        LogisticRegression(),
    ).fit(flights.frame, flights.late)
    packed, _ = _packed(model, tmp_path, flights, ["distance"])
    assert packed.spec.format == "sklearn"
    assert "kept as skops, not ONNX: no converter" in packed.notes[-1]
    assert packed.spec.library["scikit-learn"]


def test_columns_that_the_model_drops_may_be_missing_or_there(
    flights: Flights, tmp_path: Path
) -> None:
    """A frame in training may hold more than a column transformer takes from it."""
    model = make_pipeline(
        ColumnTransformer([("texts", OneHotEncoder(handle_unknown="ignore"), ["carrier"])]),
        LogisticRegression(),
    ).fit(flights.frame, flights.late)
    without, _ = _packed(model, tmp_path, flights, ["carrier"])
    within, _ = _packed(model, tmp_path, flights, ["carrier", "temp"])
    assert without.files == within.files
    assert "was shown temp in training and does without" in within.notes[0]


def _own(values: Any) -> Any:
    return values


def test_what_cannot_be_stored_safely_is_refused(flights: Flights, tmp_path: Path) -> None:
    """A function of one's own fits neither ONNX nor the policy: refused, by name."""
    model = make_pipeline(
        ColumnTransformer([("own", FunctionTransformer(_own), ["distance"])]), LogisticRegression()
    ).fit(flights.frame, flights.late)
    with pytest.raises(ModelFileError, match=r"neither as ONNX .* nor in a safe format: .*_own"):
        _packed(model, tmp_path, flights, ["distance"])


def test_boosters_files_are_packed_without_trust(flights: Flights, tmp_path: Path) -> None:
    """LightGBM's text and XGBoost's UBJSON and JSON run no code, so nobody must trust them."""
    frame = flights.frame[NUMBERS]
    boosted = _xgb().fit(frame, flights.late)
    grown = _lgbm().fit(frame, flights.late)
    boosted.save_model(tmp_path / "model.ubj")
    boosted.save_model(tmp_path / "model.json")
    grown.booster_.save_model(tmp_path / "model.txt")
    for name, model in (("ubj", boosted), ("json", boosted), ("txt", grown)):
        packed, source = pack(
            tmp_path / f"model.{name}",
            _contract(NUMBERS),
            flights.some(NUMBERS),
            threshold=0.5,
            positive="1",
        )
        assert packed.spec.format == "onnx", packed.notes
        assert source.type.endswith("Booster")
        answers = reload(packed.spec, packed.files).predict(flights.columns)
        np.testing.assert_allclose(answers, model.predict_proba(frame), atol=2e-6)


def test_a_skops_file_is_packed_without_trust(flights: Flights, tmp_path: Path) -> None:
    """A skops file of known types opens and is converted like any other."""
    import skops.io

    names = ["hour", "temp"]
    model = LogisticRegression(max_iter=500).fit(flights.frame[names], flights.late)
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    packed, _ = pack(path, _contract(names), flights.some(names), threshold=None, positive=None)
    assert packed.spec.format == "onnx"


def test_a_pickle_needs_trust(flights: Flights, tmp_path: Path) -> None:
    """Without --trust-pickle the file is not opened at all."""
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(LogisticRegression()))
    with pytest.raises(PickleRefused):
        pack(path, _contract(["hour"]), flights.some(["hour"]), threshold=None, positive=None)


def test_an_onnx_file_is_taken_as_it_is(flights: Flights, tmp_path: Path) -> None:
    """What came as ONNX is published byte for byte."""
    names = ["hour", "temp"]
    model = LogisticRegression(max_iter=500).fit(flights.frame[names], flights.late)
    made, _ = _packed(model, tmp_path, flights, names)
    path = tmp_path / "given.onnx"
    path.write_bytes(made.files["model.onnx"])
    packed, source = pack(
        path, _contract(names), flights.some(names), threshold=None, positive=None
    )
    assert packed.files == made.files
    assert packed.parity is None
    assert source.type == "ONNX"


def test_several_classes_and_string_labels(flights: Flights, tmp_path: Path) -> None:
    """Multiclass models keep the target's strings in the order of their probabilities."""
    truth = np.array(["cancelled", "late", "on time"])[
        np.digitize(flights.columns["hour"] + 5 * flights.late, [10, 20])
    ]
    target = Column(
        name="outcome",
        kind=Kind.STRING,
        role=Role.TARGET,
        categories=("on time", "late", "cancelled"),
    )
    model = make_pipeline(_prepare(), _lgbm()).fit(flights.frame, truth)
    packed, _ = _packed(model, tmp_path, flights, task=Task.MULTICLASS, target=target)
    assert packed.spec.format == "onnx", packed.notes
    assert packed.spec.classes == ("cancelled", "late", "on time")
    answers = reload(packed.spec, packed.files).predict(flights.columns)
    np.testing.assert_allclose(answers, model.predict_proba(flights.frame), atol=2e-6)


@pytest.mark.parametrize("kind", ["ridge", "lightgbm", "xgboost"])
def test_regression(kind: str, flights: Flights, tmp_path: Path) -> None:
    """A regressor answers one value a row."""
    from lightgbm import LGBMRegressor
    from xgboost import XGBRegressor

    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    model = {
        "ridge": lambda: make_pipeline(_prepare(encoder, _impute()), Ridge()),
        "lightgbm": lambda: make_pipeline(
            _prepare(encoder), LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1)
        ),
        "xgboost": lambda: make_pipeline(
            _prepare(encoder), XGBRegressor(n_estimators=20, n_jobs=1)
        ),
    }[kind]()
    delay = flights.columns["hour"] * 1_000_000.0 + flights.late
    model.fit(flights.frame, delay)
    target = Column(name="delay", kind=Kind.NUMBER, role=Role.TARGET)
    packed, _ = _packed(model, tmp_path, flights, task=Task.REGRESSION, target=target)
    assert packed.spec.format == "onnx", packed.notes
    assert packed.spec.classes == ()
    answers = reload(packed.spec, packed.files).predict(flights.columns)
    assert answers.shape == (ROWS,)
    np.testing.assert_allclose(answers, model.predict(flights.frame), rtol=1e-5)


def test_all_differences_in_columns_come_at_once(flights: Flights, tmp_path: Path) -> None:
    """A contract for another table gets one error with every difference."""
    model = _lgbm().fit(flights.frame[NUMBERS], flights.late)
    wrong = _contract(["hour", "distances", "seen_at", "temp", "carrier"])
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    with pytest.raises(ModelMismatch, match="differ in 4 columns"):
        pack(path, wrong, flights.columns, threshold=None, positive=None, trust_pickle=True)


def test_a_booster_takes_no_times(flights: Flights, tmp_path: Path) -> None:
    """A timestamp as a feature of a booster is refused with what to make of it."""
    model = _lgbm().fit(flights.frame[["hour", "temp"]], flights.late)
    model.booster_.save_model(tmp_path / "model.txt")
    contract = _contract(["hour"])
    moment = Column(name="temp", kind=Kind.TIMESTAMP)
    with pytest.raises(ModelMismatch, match="takes no times"):
        pack(
            tmp_path / "model.txt",
            Contract(model="m", task=Task.BINARY, columns=(moment, *contract.columns)),
            flights.some(["hour", "temp"]),
            threshold=None,
            positive=None,
        )


def test_a_positive_class_that_is_none_is_refused(flights: Flights, tmp_path: Path) -> None:
    """The name of the positive class must be one of the classes."""
    model = _lgbm().fit(flights.frame[NUMBERS], flights.late)
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    with pytest.raises(ModelMismatch, match="'yes' is none of the model's: 0 and 1"):
        pack(
            path,
            _contract(NUMBERS),
            flights.some(NUMBERS),
            threshold=None,
            positive="yes",
            trust_pickle=True,
        )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(), "never fitted"),
        (LinearSVC().fit([[0.0], [1.0]], [0, 1]), "gives no probabilities"),
        ({"weights": [1, 2]}, "no model that is known here"),
    ],
)
def test_what_is_no_model_to_serve_is_explained(
    model: Any, message: str, flights: Flights, tmp_path: Path
) -> None:
    """Unfitted estimators, models without probabilities and other objects are told apart."""
    with pytest.raises((ModelMismatch, ModelFileError), match=message):
        _packed(model, tmp_path, flights, ["hour"])


def test_a_model_that_cannot_answer_its_own_rows_is_refused(
    flights: Flights, tmp_path: Path
) -> None:
    """A model that raises at the training table's gaps fails here, not in production."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        flights.frame[["hour", "temp"]].to_numpy(), flights.late
    )
    with pytest.raises(PredictionFailed, match="NaN"):
        _packed(model, tmp_path, flights, ["hour", "gust"])


def test_packing_twice_gives_the_same_bytes(flights: Flights, tmp_path: Path) -> None:
    """The same model packs to the same bytes, so a version's digest means the model."""
    model = make_pipeline(_prepare(), _lgbm()).fit(flights.frame, flights.late)
    first, _ = _packed(model, tmp_path, flights)
    second, _ = _packed(model, tmp_path, flights)
    assert first == second
