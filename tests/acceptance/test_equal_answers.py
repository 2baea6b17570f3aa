"""One model, many ways to ask it, one answer: the trained model in process is the judge."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from tests.projects import Flights
from tritonclient.utils import InferenceServerException

from shipway.examples.flights.data import CATEGORIES, FEATURES, load_flights
from shipway.examples.flights.training import frame
from shipway.serving.status import ServerRecord

ROWS = 1_000
ASKED_ROWS = 4_000
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def thousand(flights: Flights) -> pl.DataFrame:
    """A thousand flights from April to December, missing weather and cancelled ones included."""
    return flights.later.gather_every(flights.later.height // ROWS).head(ROWS)


@pytest.fixture(scope="module")
def in_process(flights: Flights, thousand: pl.DataFrame) -> NDArray[np.float64]:
    """What the pickled pipeline itself says: the probability of being late."""
    model = joblib.load(flights.folder / "model.joblib")
    return np.asarray(model.predict_proba(frame(thousand))[:, 1], dtype=np.float64)


@pytest.fixture(scope="module")
def served(flights: Flights, tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """A copy of the published project, whose store may gain a key and events."""
    return flights.copy(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(served: Flights) -> Iterator[tuple[ServerRecord, str]]:
    """A server of that copy, and a key to it."""
    key = served.new_key()
    with served.served() as record:
        yield record, key


def inputs(rows: pl.DataFrame, *, binary: bool) -> list[Any]:
    """The features of *rows* as tritonclient sends them."""
    made = []
    for name in FEATURES:
        if name in CATEGORIES:
            tensor = triton.InferInput(name, [rows.height], "BYTES")
            values = np.array(rows[name].to_list(), dtype=np.object_)
        elif rows.schema[name] == pl.Int64:
            tensor = triton.InferInput(name, [rows.height], "INT64")
            values = rows[name].to_numpy()
        else:
            tensor = triton.InferInput(name, [rows.height], "FP64")
            values = rows[name].to_numpy()
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    return made


def test_tritonclient_gets_metadata_and_the_same_predictions(
    server: tuple[ServerRecord, str],
    thousand: pl.DataFrame,
    in_process: NDArray[np.float64],
) -> None:
    """A client that others wrote reads our metadata and gets the trained model's probabilities."""
    record, key = server
    headers = {"Authorization": f"Bearer {key}"}
    client = triton.InferenceServerClient(record.url.removeprefix("http://"))
    try:
        assert client.is_server_live()
        assert client.is_model_ready("flight-delay", headers=headers)
        metadata = client.get_model_metadata("flight-delay", headers=headers)
        assert [each["name"] for each in metadata["inputs"]] == list(FEATURES)
        # JSON of this client has no way to say that a number is missing; its binary tensors do.
        asked = inputs(thousand, binary=True)
        answer = client.infer("flight-delay", asked, headers=dict(headers))
        np.testing.assert_allclose(answer.as_numpy("score"), in_process, atol=TOLERANCE)
        complete = thousand.select(~pl.any_horizontal(pl.col(FEATURES).is_null())).to_series()
        asked = inputs(thousand.filter(complete), binary=False)
        outputs = [triton.InferRequestedOutput("score", binary_data=False)]
        answer = client.infer("flight-delay", asked, outputs=outputs, headers=dict(headers))
        kept = in_process[complete.to_numpy()]
        np.testing.assert_allclose(answer.as_numpy("score"), kept, atol=TOLERANCE)
    finally:
        client.close()


def test_predict_answers_as_the_model_in_process(
    served: Flights,
    server: tuple[ServerRecord, str],
    thousand: pl.DataFrame,
    in_process: NDArray[np.float64],
    tmp_path: Path,
) -> None:
    """`shipway predict` sends a whole table, nulls included, and gets the model's own answers."""
    _, key = server
    thousand.write_parquet(tmp_path / "rows.parquet")
    said = served.json("predict", str(tmp_path / "rows.parquet"), "--key", key)
    np.testing.assert_allclose(said["outputs"]["score"], in_process, atol=TOLERANCE)


def test_score_answers_as_the_model_in_process(
    flights: Flights, thousand: pl.DataFrame, in_process: NDArray[np.float64], tmp_path: Path
) -> None:
    """Offline scores are those of the model in process, in the order of the input."""
    thousand.write_parquet(tmp_path / "rows.parquet")
    flights.json("score", str(tmp_path / "rows.parquet"), str(tmp_path / "scores.parquet"))
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores.height == thousand.height
    np.testing.assert_allclose(scores["score"].to_numpy(), in_process, atol=TOLERANCE)


def test_every_flight_is_answered_alike_online_and_offline(
    served: Flights, server: tuple[ServerRecord, str], tmp_path: Path
) -> None:
    """All 336,776 flights get the very same score and label both ways, or are refused both ways."""
    flights = load_flights()
    flights.write_parquet(tmp_path / "year.parquet")
    scored = ("score", str(tmp_path / "year.parquet"), str(tmp_path / "scores.parquet"))
    served.json(*scored, "--max-bad-share", "1", "--no-events")
    offline = pl.read_parquet(tmp_path / "scores.parquet")
    assert (flights.height, offline.height > 0.9 * flights.height) == (336_776, True)
    answered = flights[offline["row"].to_list()]
    record, key = server
    headers = {"Authorization": f"Bearer {key}"}
    client = triton.InferenceServerClient(record.url.removeprefix("http://"))
    try:
        scores, labels = [], []
        for start in range(0, answered.height, ASKED_ROWS):
            asked = inputs(answered.slice(start, ASKED_ROWS), binary=True)
            answer = client.infer("flight-delay", asked, headers=dict(headers))
            scores.append(answer.as_numpy("score"))
            labels.append(answer.as_numpy("label"))
        refused = set(range(flights.height)) - set(offline["row"].to_list())
        for row in sorted(refused)[:20]:
            asked = inputs(flights.slice(row, 1), binary=True)
            with pytest.raises(InferenceServerException, match="data contract"):
                client.infer("flight-delay", asked, headers=dict(headers))
    finally:
        client.close()
    np.testing.assert_array_equal(np.concatenate(scores), offline["score"].to_numpy())
    np.testing.assert_array_equal(np.concatenate(labels), offline["prediction"].to_numpy())


def test_the_edge_bundle_answers_as_the_model_in_process(
    flights: Flights, thousand: pl.DataFrame, in_process: NDArray[np.float64], tmp_path: Path
) -> None:
    """The one-file runner, with numpy and onnxruntime alone, gives the model's own answers."""
    flights.json("edge", str(tmp_path / "bundle"))
    rows = tmp_path / "rows.jsonl"
    lines = thousand.select(FEATURES).to_dicts()
    rows.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "bundle" / "runner.py"), str(rows)],
        capture_output=True,
        text=True,
        check=True,
    )
    scores = pl.read_ndjson(done.stdout.encode())["score"].to_numpy()
    np.testing.assert_allclose(scores, in_process, atol=TOLERANCE)
