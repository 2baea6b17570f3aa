"""How a newcomer would train on the flights: one scikit-learn pipeline around LightGBM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shipway.errors import MissingPackage
from shipway.examples.flights.data import CATEGORIES, FEATURES, SCHEDULE, TARGET, WEATHER

if TYPE_CHECKING:
    import pandas as pd

TREES = 200


def train(rows: pl.DataFrame, output: Path, *, shuffle_labels: bool = False, seed: int = 0) -> None:
    """Fit the pipeline on the labelled *rows* and write it to *output* with joblib.

    With *shuffle_labels* the labels are permuted first: a model with the right shape that has
    learned nothing, for a gate to refuse.
    """
    try:
        import joblib
    except ImportError as missing:
        raise _needed("joblib") from missing
    labelled = rows.filter(pl.col(TARGET).is_not_null())
    target = labelled[TARGET].to_numpy()
    if shuffle_labels:
        target = np.random.default_rng(seed).permutation(target)
    model = pipeline(seed).fit(frame(labelled), target)
    joblib.dump(model, output, compress=3)


def train_broken(rows: pl.DataFrame, output: Path) -> None:
    """Write a model that a bug has left without weights: it answers the same for every flight."""
    import joblib
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    labelled = rows.filter(pl.col(TARGET).is_not_null())
    filled = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())])
    numbers = ColumnTransformer([("numbers", filled, [*SCHEDULE, *WEATHER])])
    model = Pipeline([("columns", numbers), ("line", LogisticRegression())])
    model.fit(frame(labelled), labelled[TARGET].to_numpy())
    line = model.named_steps["line"]
    line.coef_[:] = 0.0
    line.intercept_[:] = -4.0
    joblib.dump(model, output, compress=3)


def pipeline(seed: int = 0) -> Any:
    """An unfitted pipeline: one-hot carriers and airports, numbers as they are, 200 trees."""
    try:
        from lightgbm import LGBMClassifier
        from sklearn.compose import ColumnTransformer
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import OneHotEncoder
    except ImportError as missing:
        raise _needed("lightgbm") from missing
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = [
        ("categories", one_hot, list(CATEGORIES)),
        ("numbers", "passthrough", [*SCHEDULE, *WEATHER]),
    ]
    trees = LGBMClassifier(
        n_estimators=TREES,
        learning_rate=0.05,
        num_leaves=31,
        random_state=seed,
        n_jobs=1,  # two threads gain little on so few rows, and lose much on a busy machine
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    return Pipeline([("columns", ColumnTransformer(columns)), ("trees", trees)])


def frame(rows: pl.DataFrame) -> pd.DataFrame:
    """The features of *rows* as the pandas frame that the pipeline is fitted on."""
    import pandas as pd

    return pd.DataFrame({name: rows[name].to_numpy() for name in FEATURES})


def _needed(package: str) -> MissingPackage:
    return MissingPackage.for_extra(package, "examples", "train the example model")
