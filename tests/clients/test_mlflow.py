"""MLflow's client of scoring servers, as it is installed, and what its own server would answer."""

from __future__ import annotations

import json
import warnings
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from tests.clients.conftest import Called
from tests.frames_rig import FRAME, as_rows

from shipway import __version__

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own type hints, at import
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

FIELDS = "The input must be a JSON dictionary with exactly one of the input fields"


@pytest.fixture
def client(open_to_all: Called) -> Any:
    """The client; it cannot send a key, so the server asks for none."""
    host, _, port = open_to_all.address.partition(":")
    made: Any = ScoringServerClient
    return made(host, port)


def frame_of(called: Called) -> pd.DataFrame:
    """The rows as pandas has them, None for what is missing."""
    return pd.DataFrame(called.cells, dtype=object)


def test_a_data_frame(client: Any, open_to_all: Called) -> None:
    """A DataFrame with text, times and missing values gets labels, and scores beside them."""
    client.wait_server_ready(timeout=10)
    told = client.invoke(frame_of(open_to_all))
    assert told.get_predictions("ndarray").tolist() == open_to_all.told.labels
    assert told["scores"] == open_to_all.told.scores
    wished = client.invoke(frame_of(open_to_all), params={"prediction": "row"})
    assert list(wished.get_predictions().columns) == ["label", "prediction_id", "score"]


def test_rows_as_an_array(client: Any, open_to_all: Called) -> None:
    """An array of rows in the order of the features is taken as inputs."""
    names = [column.name for column in FRAME.features]
    rows = np.array(as_rows(open_to_all.cells, names), dtype=object)
    assert client.invoke(rows)["predictions"] == open_to_all.told.labels


def test_version(client: Any) -> None:
    """The version told is this server's."""
    assert client.get_version() == __version__


def test_csv_of_pandas(open_to_all: Called) -> None:
    """What DataFrame.to_csv writes is read, its index too."""
    frame = frame_of(open_to_all)
    for text in (frame.to_csv(), frame.to_csv(index=False)):
        reply = post(open_to_all, text.encode(), "text/csv")
        assert reply.json()["scores"] == open_to_all.told.scores


def post(called: Called, body: bytes, kind: str | None) -> httpx.Response:
    """The reply to *body*."""
    headers = {} if kind is None else {"content-type": kind}
    return httpx.post(f"http://{called.address}/invocations", content=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        ([1, 2], "application/json", 400, FIELDS),
        ({}, "application/json", 400, FIELDS),
        ({"instances": [], "inputs": []}, "application/json", 400, FIELDS),
        ({"nope": 1}, "application/json", 400, FIELDS),
        ({"dataframe_split": []}, "application/json", 400, "dataframe_split"),
        ({"dataframe_split": {"data": 1}}, "application/json", 400, "dataframe_split.data"),
        ({"dataframe_records": {}}, "application/json", 400, "dataframe_records"),
        ({"dataframe_records": [{"amount": 1}]}, "application/json", 422, "contract"),
        ({"instances": [[1]], "params": 3}, "application/json", 400, "params"),
        ({}, "application/json; charset=latin-1", 415, "UTF-8"),
        ({}, "application/json; profile=x", 415, "Unrecognized content type parameters"),
        ({}, "application/x-parquet", 415, "only supports the following content types"),
        ({}, "text/csv; header=perhaps", 415, "header"),
    ],
)
def test_refusals(open_to_all: Called, body: Any, kind: str, status: int, words: str) -> None:
    """What MLflow's own server refuses is refused alike, in its form of an error and in ours."""
    reply = post(open_to_all, json.dumps(body).encode(), kind)
    told = reply.json()
    assert reply.status_code == status
    assert words in told["message"]
    assert told["message"] == told["error"]
    assert told["error_code"] == "BAD_REQUEST"
    assert told["next"]


def test_the_client_says_what_is_wrong(client: Any) -> None:
    """The client passes our words on."""
    with pytest.raises(Exception, match="breaks the data contract"):
        client.invoke(pd.DataFrame({"amount": ["far"]}))


def test_without_a_content_type(open_to_all: Called) -> None:
    """A body without a Content-Type is read as JSON."""
    names = [column.name for column in FRAME.features]
    body = json.dumps({"instances": as_rows(open_to_all.cells, names)}).encode()
    assert post(open_to_all, body, None).json()["predictions"] == open_to_all.told.labels
