"""The routes of KServe v1, MLflow, SageMaker and Vertex, over real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.frames_rig import FRAME, NUMBERS, Asking, FrameRouting
from tests.serving_rig import eventually, running

from shipway import __version__
from shipway.contract.example import example_row
from shipway.serving.doors import Doors
from shipway.serving.http.limits import Limits

PREDICT = "/v1/models/frame:predict"
RECORD = {
    name: value for name, value in example_row(FRAME).items() if name != "asked"
}  # the time column is the client's to send
DOORS = Doors(predict="/v1/endpoints/7:predict", health="/healthy")


@pytest.fixture(scope="module")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """A server of the frame behind the routes that Vertex chose."""
    run = tmp_path_factory.mktemp("run")
    limits = Limits(max_elements=50, max_json_depth=9)
    with running(run, routing=FrameRouting(FRAME), doors=DOORS, limits=limits) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        made = Asking(world)
        yield made
        made.close()


@pytest.mark.parametrize("path", ["/ping", "/health", "/healthy", "/v2/health/ready"])
def test_health(vertex: Asking, path: str) -> None:
    """Each platform finds the server ready where it looks."""
    assert vertex.get(path).json() == {"ready": True}


def test_lists_and_versions(asking: Asking) -> None:
    """KServe v1 lists the models and tells that they are ready; the version is this server's."""
    assert asking.get("/v1/models").json() == {"models": ["frame", "numbers"]}
    assert asking.get("/v1/models/frame").json() == {"name": "frame", "ready": True}
    assert asking.get("/version").text == __version__
    assert asking.get("/").json() == {"status": "alive"}


def test_vertex_gets_whole_rows(vertex: Asking) -> None:
    """Vertex passes on predictions alone, so each has its label, its score and its id."""
    told = vertex.post(DOORS.predict, {"instances": [RECORD], "parameters": {}}).json()
    (row,) = told["predictions"]
    assert set(row) == {"label", "score", "prediction_id"}
    labels = {"instances": [RECORD], "parameters": {"prediction": "label"}}
    assert vertex.post(DOORS.predict, labels).json()["predictions"] == [row["label"]]


def test_predictions_of_each_form(asking: Asking) -> None:
    """A prediction is a label, a score or a row, as the client wishes, and nothing else."""
    for form, kind in (("label", bool), ("score", float), ("row", dict), (None, bool)):
        body = {"instances": [RECORD], "parameters": {"prediction": form}}
        told = asking.post(PREDICT, body).json()
        assert type(told["predictions"][0]) is kind
        assert type(told["scores"][0]) is float
        assert "probabilities" not in told
    wrong = {"instances": [RECORD], "parameters": {"prediction": "proba"}}
    assert asking.post(PREDICT, wrong).status_code == 400
    wrong = {"instances": [RECORD], "parameters": []}
    assert asking.post(PREDICT, wrong).status_code == 400


def test_probabilities(asking: Asking) -> None:
    """With several classes the probabilities of all stand beside the labels."""
    body = {"instances": [[0.5] * 5], "id": "mine"}
    told = asking.post("/v1/models/numbers/versions/1:predict", body).json()
    assert told["predictions"][0] in ("a", "b", "c")
    assert len(told["probabilities"][0]) == 3
    assert (told["id"], told["prediction_ids"]) == ("mine", ["mine:0"])
    assert "scores" not in told


def test_a_soft_rule_is_counted(asking: Asking) -> None:
    """Rows that break a soft rule are answered, and counted in the answer."""
    told = asking.post(PREDICT, {"instances": [{**RECORD, "city": "Rome"}, RECORD]}).json()
    assert told["warnings"] == {"contract.unseen-category": 1}


def test_a_cloud_event(asking: Asking) -> None:
    """An event is answered with one, whose data are the predictions under the event's id."""
    event: dict[str, Any] = {"specversion": "1.0", "id": "e1", "source": "s", "type": "t"}
    kind = "application/cloudevents+json"
    reply = asking.post(PREDICT, {**event, "data": {"instances": [RECORD]}}, kind=kind)
    told = reply.json()
    assert reply.headers["content-type"] == kind
    assert told["type"] == "io.kserve.inference.response"
    assert told["source"] == "io.kserve.inference.frame"
    assert told["data"]["id"] == "e1"
    for wrong in ({**event}, {**event, "specversion": "0.3", "data": {}}, {**event, "data": []}):
        assert asking.post(PREDICT, wrong, kind=kind).status_code == 400


def test_no_explanations(asking: Asking) -> None:
    """What is not offered says so."""
    reply = asking.post("/v1/models/frame:explain", {"instances": [RECORD]})
    assert (reply.status_code, reply.json()["error"]) == (501, "explanations are not offered")


def test_invocations_need_one_model(asking: Asking) -> None:
    """A route that names no model is refused where several are served, in MLflow's form too."""
    reply = asking.post("/invocations", {"instances": [RECORD]})
    assert reply.status_code == 404
    assert reply.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert "2 models are served" in reply.json()["message"]


@pytest.mark.parametrize(
    "path", ["/v1/models/nope", "/v1/models/nope:predict", "/v1/models/frame/versions/9:predict"]
)
def test_unknown_models(asking: Asking, path: str) -> None:
    """A model or a version that is not live is named as such."""
    for reply in (asking.get(path), asking.post(path, {})):
        assert reply.status_code == 404
        assert reply.json()["error"].startswith("Request for unknown model: ")


@pytest.mark.parametrize("path", [PREDICT, "/v2/models/frame/infer"])
def test_only_json(asking: Asking, path: str) -> None:
    """A body that is said to be no JSON is a 415."""
    assert asking.post(path, {"instances": [RECORD]}, kind="text/csv").status_code == 415


def test_limits(vertex: Asking) -> None:
    """Depth and values are bounded by this server's settings, in every protocol."""
    deep: Any = 1
    for _ in range(10):
        deep = [deep]
    for path in (PREDICT, "/invocations", "/v2/models/frame/infer"):
        reply = vertex.post(path, {"x": deep, "instances": [RECORD], "inputs": []})
        assert reply.status_code == 400
        assert "nested more than 9 levels" in reply.json()["error"]
    many = {"instances": [RECORD] * 6}
    assert vertex.post(PREDICT, {"instances": [RECORD] * 5}).status_code == 200
    assert vertex.post(PREDICT, many).status_code == 413
    assert vertex.post("/invocations", many).status_code == 413
    tensors = [
        {"name": column.name, "shape": [6], "datatype": "BYTES", "data": ["x"] * 6}
        for column in FRAME.features
        if column.name in ("city", "note", "born", "seen")
    ] * 3
    binary = {"name": "member", "shape": [60], "datatype": "BOOL"}
    head = json.dumps({"inputs": [{**binary, "parameters": {"binary_data_size": 60}}]}).encode()
    length = {"inference_header_content_length": str(len(head))}
    reply = vertex.post("/v2/models/frame/infer", head + bytes(60), **length)
    assert (reply.status_code, reply.json()["code"]) == (413, "limit.too-large")
    named = [{**one, "name": f"{one['name']}{at}"} for at, one in enumerate(tensors)]
    assert vertex.post("/v2/models/frame/infer", {"inputs": named}).status_code == 413


def test_numbers_of_all_models(asking: Asking) -> None:
    """The contract of numbers alone is served beside the frame."""
    names = [column.name for column in NUMBERS.features]
    body = {"instances": [dict.fromkeys(names, 0.5)]}
    assert asking.post("/v1/models/numbers:predict", body).status_code == 200
