"""Requests that break the contract, and callers who may not ask, on a server that runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.acceptance.conftest import refusal_of
from tests.projects import Project

from shipway.api.keys import create_key
from shipway.bootstrap.project import open_project
from shipway.serving.status import ServerRecord

GOOD = {"age": 40, "fee": 35.5, "city": "Lima"}
DATATYPES = {"age": "INT64", "fee": "FP64", "city": "BYTES"}


@dataclass(frozen=True)
class Served:
    """A project, the server that runs on it, and a key to it."""

    project: Project
    record: ServerRecord
    key: str

    def ask(self, content: str | bytes, key: str | None = None) -> httpx.Response:
        """What the server answers to the bytes *content* as a request to predict."""
        return httpx.post(
            f"{self.record.url}/v2/models/churn/infer",
            content=content,
            headers={"Authorization": f"Bearer {self.key if key is None else key}"},
        )

    def predict(self, rows: object) -> tuple[str, ...]:
        """The words of the command that asks about *rows*."""
        return ("predict", json.dumps(rows), "--key", self.key)


@pytest.fixture(scope="module")
def server(published: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all of these tests; none of them may harm it."""
    project = published.copy(tmp_path_factory.mktemp("served") / "project")
    key = project.new_key()
    with project.served() as record:
        yield Served(project, record, key)
        done = project.call("predict", json.dumps(GOOD), "--key", key)
        assert done.code == 0, done.said


def body(columns: dict[str, Any], datatypes: dict[str, str] | None = None) -> str:
    """A request of one row; values are written as they are, so text may be any JSON."""
    types = DATATYPES | (datatypes or {})
    inputs = ", ".join(
        f'{{"name": {json.dumps(name)}, "shape": [1], "datatype": "{types.get(name, "FP64")}",'
        f' "data": [{value if isinstance(value, Raw) else json.dumps(value)}]}}'
        for name, value in columns.items()
    )
    return f'{{"id": "r", "inputs": [{inputs}]}}'


class Raw(str):
    """Text that stands in the request as it is."""

    __slots__ = ()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


BREAKS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "missing": (without("fee"), ("fee",)),
    "renamed": (without("fee") | {"feee": 35.5}, ("'feee'", "'fee'")),
    "extra": (GOOD | {"churned_at": 1.0}, ("churned_at",)),
    "two missing": ({"age": 40}, ("fee", "city")),
    "text for a number": (GOOD | {"fee": "much"}, ("fee", "much")),
    "number for text": (GOOD | {"city": 7}, ("city", "7")),
    "fraction for an integer": (GOOD | {"age": 40.5}, ("age", "40.5")),
    "boolean for an integer": (GOOD | {"age": True}, ("age",)),
    "null": (GOOD | {"age": None}, ("age",)),
    "nested": (GOOD | {"fee": [3, 4]}, ("fee",)),
    "infinity as text": (GOOD | {"fee": "Infinity"}, ("fee",)),
    "nan as text": (GOOD | {"fee": "nan"}, ("fee",)),
    "everything": ({"aeg": 1, "fee": "x", "city": 3}, ("aeg", "fee", "city")),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_row_that_breaks_the_contract_is_refused_in_every_detail(
    server: Served, fault: str
) -> None:
    """The server names every column with its value and the next step, with a documented status."""
    columns, says = BREAKS[fault]
    answer = server.ask(body(columns))
    assert answer.status_code in (400, 422), answer.text
    told = answer.json()
    assert told["error"]
    assert told["next"]
    assert told["code"] in ("contract.violated", "request.malformed")
    for text in says:
        assert text in answer.text
    assert told["problems"], told


@pytest.mark.parametrize("fault", BREAKS)
def test_the_command_says_what_the_server_refuses(server: Served, fault: str) -> None:
    """`shipway predict` ends with 2, and a person reads the columns that are wrong."""
    columns, says = BREAKS[fault]
    if fault == "extra":
        done = server.project.call(*server.predict(columns))
        assert done.code == 0, "columns that the contract does not know stay at home"
        return
    refusal_of(server.project, *server.predict(columns), says=says)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_none_are_refused(server: Served, number: str) -> None:
    """JSON knows no NaN and no infinity, and a number too large for a float is none either."""
    answer = server.ask(body(GOOD | {"fee": Raw(number)}))
    assert answer.status_code in (400, 422), answer.text
    told = answer.json()
    assert told["next"]
    assert "Traceback" not in answer.text
    done = server.project.call(
        "predict", f'{{"age": 40, "fee": {number}, "city": "Lima"}}', "--key", server.key
    )
    assert done.code == 2, done.said
    assert "Next: " in done.err
    assert "Traceback" not in done.said


MALFORMED: dict[str, str | bytes] = {
    "no json": "hello",
    "empty": "",
    "a list": "[]",
    "no inputs": "{}",
    "no rows": '{"inputs": []}',
    "shape": '{"inputs":[{"name":"age","shape":[2],"datatype":"INT64","data":[1]}]}',
    "negative shape": '{"inputs":[{"name":"age","shape":[-1],"datatype":"INT64","data":[1]}]}',
    "datatype": '{"inputs":[{"name":"age","shape":[1],"datatype":"INT99","data":[1]}]}',
    "deep": "[" * 100_000,
    "not utf-8": b'{"inputs": "\xff\xfe"}',
    "cut": body(GOOD)[:-20],
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_body_that_is_no_request_is_refused(server: Served, fault: str) -> None:
    """Whatever is not a request gets 400 with code and next step."""
    answer = server.ask(MALFORMED[fault])
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "request.malformed"
    assert answer.json()["next"]


def test_rows_that_are_none_are_refused_by_the_command(server: Served) -> None:
    """Text that is neither a table nor rows is told before the server is asked."""
    for text in ("{", "[]", "[1]", '{"a":', "[{}]", '{"x": 1}'):
        done = server.project.call("predict", text, "--key", server.key)
        assert done.code == 2, (text, done.said)
        assert "Traceback" not in done.said
        assert "Next: " in done.err
    for text in ("", "rows.csv"):
        assert server.project.call("predict", text, "--key", server.key).code == 2


def test_a_key_that_is_missing_or_malformed_is_refused(server: Served) -> None:
    """401 with WWW-Authenticate, the next step, and not a word about which part was wrong."""
    other = f"{server.key[:-4]}0000"
    for key in ("", "nonsense", "sk_live_x", other, server.key[:-1], "\u00e9"):
        answer = httpx.post(
            f"{server.record.url}/v2/models/churn/infer",
            content=body(GOOD),
            headers={b"Authorization": f"Bearer {key}".encode()} if key else None,
        )
        assert answer.status_code == 401, (key, answer.text)
        assert answer.json()["code"] == "access.not-authenticated"
        assert answer.json()["next"]
        assert answer.headers["www-authenticate"].startswith("Bearer")
        if key.isascii():
            words = ("predict", json.dumps(GOOD), *(("--key", key) if key else ()))
            error = refusal_of(server.project, *words, says=("shipway keys create",))
            assert error["code"] == "access.not-authenticated"


def test_a_stale_key_is_refused(server: Served) -> None:
    """A key whose time is over is told so, with the command for a new one."""
    with open_project(server.project.folder) as project:
        key = create_key(project, name="old", life=timedelta(milliseconds=1)).secret
    refused_soon(server, key)
    error = refusal_of(
        server.project, "predict", json.dumps(GOOD), "--key", key, says=("shipway keys create",)
    )
    assert error["code"] == "access.not-authenticated"


def test_a_revoked_key_is_refused_within_a_second(server: Served) -> None:
    """From the revocation on, the key opens nothing, on either port."""
    made = server.project.json("keys", "create", "--name", "gone")
    accepted_soon(server, made["secret"])
    server.project.json("keys", "revoke", made["id"])
    refused_soon(server, made["secret"])
    labels = httpx.post(
        f"{server.record.control_url}/v1/labels",
        json={"labels": []},
        headers={"Authorization": f"Bearer {made['secret']}"},
    )
    assert labels.status_code == 401


def test_a_key_without_the_right_is_refused_with_403(server: Served) -> None:
    """A good key that may only look is told which right it lacks."""
    key = server.project.new_key("--scope", "view")
    accepted_soon(server, key, status=403)
    answer = server.ask(body(GOOD), key=key)
    assert answer.json()["code"] == "access.not-authorised"
    assert "predict" in answer.text
    assert answer.json()["next"]
    error = refusal_of(server.project, "predict", json.dumps(GOOD), "--key", key, says=("predict",))
    assert error["code"] == "access.not-authorised"


def refused_soon(server: Served, key: str) -> None:
    """Wait until the worker knows that *key* is not good; it looks twice a second."""
    accepted_soon(server, key, status=401)


def accepted_soon(server: Served, key: str, status: int = 200) -> None:
    """Wait until *key* is answered with *status*."""
    until = time.monotonic() + 20
    while (answer := server.ask(body(GOOD), key=key)).status_code != status:
        assert time.monotonic() < until, answer.text
        time.sleep(0.05)


def test_labels_that_are_none_are_refused(server: Served) -> None:
    """The control plane names every label that is wrong, and keeps none of them."""
    url = f"{server.record.control_url}/v1/labels"
    headers = {"Authorization": f"Bearer {server.key}"}
    for bad in (
        {},
        {"labels": 1},
        {"labels": [{"value": 1}]},
        {"labels": [{"prediction_id": "a:0"}]},
        {"labels": [{"prediction_id": "a:0", "value": 1, "observed_at": "yesterday"}]},
        {"labels": [{"prediction_id": "", "value": 1}]},
        {"labels": [{"prediction_id": "a:0", "value": {"x": 1}}]},
    ):
        answer = httpx.post(url, json=bad, headers=headers)
        assert answer.status_code in (400, 422), (bad, answer.text)
        assert answer.json()["next"]
        assert answer.json()["code"]
    answer = httpx.post(url, content=b"{", headers=headers | {"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["next"]


def test_a_table_of_labels_without_ids_is_refused(server: Served) -> None:
    """The columns that are needed are named, and those that there are."""
    (server.project.folder / "labels.csv").write_text("id,churned\n1,0\n")
    refusal_of(server.project, "labels", "add", "labels.csv", says=("prediction_id", "churned"))


def test_a_second_server_on_the_store_is_refused(server: Served) -> None:
    """One store has one server: the second says which is there."""
    done = server.project.run(
        "serve",
        "--json",
        environ={
            "SHIPWAY_SERVE__PORT": "0",
            "SHIPWAY_SERVE__CONTROL_PORT": "0",
            "SHIPWAY_SERVE__GRPC_PORT": "0",
        },
    )
    assert done.returncode in (2, 4), done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert str(server.record.pid) in error["message"] or server.record.url in error["message"]
    assert error["next_step"]


def test_a_port_in_use_is_refused(server: Served, live: Project) -> None:
    """The port is named with the setting that changes it, and nothing is left running."""
    port = server.record.url.rpartition(":")[2]
    done = live.run(
        "serve",
        "--port",
        port,
        "--json",
        environ={"SHIPWAY_SERVE__CONTROL_PORT": "0", "SHIPWAY_SERVE__GRPC_PORT": "0"},
    )
    assert done.returncode == 4, done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "serve.port-in-use"
    assert port in error["message"]
    assert "port" in error["next_step"]
    assert not list((live.folder / ".shipway" / "run").glob("*.json"))
