"""The same model is the same bytes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from shipway.runtimes import sklearn as runtime
from shipway.runtimes.archives import canonical_archive
from shipway.runtimes.unpickling import unpickle

X = np.random.default_rng(0).random((60, 2))


def _model() -> Any:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    forest = RandomForestRegressor(3, max_depth=3, random_state=0)
    return make_pipeline(StandardScaler(), forest).fit(X, X[:, 0])


def test_a_model_opened_twice_is_saved_alike() -> None:
    """Addresses in memory and the time of day leave no trace in the archive."""
    saved = pickle.dumps(_model())
    _, first = runtime.save(unpickle(saved, "m.pkl", trusted=True)[0])
    _, second = runtime.save(unpickle(saved, "m.pkl", trusted=True)[0])
    assert first == second
    assert canonical_archive(first) == first


def test_a_renamed_archive_opens_to_the_same_model() -> None:
    """Renaming keeps every array with the object that it belongs to."""
    model = _model()
    _, data = runtime.save(model)
    np.testing.assert_array_equal(runtime.read(data).predict(X), model.predict(X))
