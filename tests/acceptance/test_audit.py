"""Who did what, as people ask: by commands, over a whole server."""

from __future__ import annotations

import os
import pwd

import httpx
import joblib
import polars as pl
from tests.acceptance.conftest import fitted
from tests.projects import Project

USER = pwd.getpwuid(os.geteuid()).pw_name


def test_the_life_of_a_log(live: Project) -> None:
    """Commands and a server write one log; it verifies, and one changed byte ends with 1."""
    secret = live.new_key("--scope", "viewer")
    with live.served() as record:
        promote = f"{record.control_url}/v1/endpoints/churn/promote"
        headers = {"Authorization": f"Bearer {secret}"}
        assert httpx.post(promote, json={}, headers=headers).status_code == 403
        infer = f"{record.url}/v2/models/churn/infer"
        assert httpx.post(infer, json={}).status_code == 401
    lines = live.json("audit", "show", "--most", "1000")["lines"]
    done = [(line["what"], line["object"], line["outcome"]) for line in lines]
    for expected in (
        ("version.publish", "churn@1", "done"),
        ("version.gate", "churn@1", "done"),
        ("endpoint.promote", "churn", "done"),
        ("server.start", "churn", "done"),
        ("endpoints.promote", "POST /v1/endpoints/churn/promote", "refused"),
        ("predictions.refused", "http", "refused"),
        ("server.stop", "churn", "done"),
    ):
        assert expected in done, done
    assert {line["user"] for line in lines if line["what"].startswith("version.")} == {USER}
    assert secret not in str(lines)
    asked = live.json("audit", "--outcome", "refused", "--what", "endpoints.*")["lines"]
    (denied,) = [line for line in asked if line["what"] == "endpoints.promote"]
    assert denied["key"] == denied["who"] == secret.split("_")[2]
    verdict = live.json("audit", "verify")
    assert verdict["ok"]
    assert verdict["last"] >= len(lines)
    assert live.call("audit", "verify", "--signer", verdict["signer"]).code == 0
    assert live.call("audit", "verify", "--signer", "00" * 32).code == 1
    assert live.json("audit", "expire")["expired"] == 0
    assert "hang together" in live.call("audit", "verify").out
    (path,) = (live.folder / ".shipway" / "audit").glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"object":"churn@1"', b'"object":"churn@2"', 1))
    told = live.call("audit", "verify")
    assert told.code == 1
    assert "was altered" in told.out
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    told = live.call("audit", "verify", "--json")
    assert (told.code, told.document["ok"]) == (1, False)
    assert told.document["problems"][0]["code"] == "audit.cut"


def test_two_people(live: Project) -> None:
    """Where it takes two, the author is refused by command, and over the server by his name."""
    file = live.folder / "shipway.toml"
    file.write_text(file.read_text().replace("[model]", "[model]\ntwo_person = true", 1))
    later = pl.read_parquet(live.folder / "train.parquet").head(900)
    joblib.dump(fitted(later), live.folder / "model.joblib")
    live.json("pack", "model.joblib", "--trust-pickle")
    assert live.call("gate").code in (0, 1, 3)
    for environ in ({}, {"SHIPWAY_USER": "somebody-else"}):
        for words in (("promote", "2"), ("promote", "2", "--force", "--reason", "now")):
            told = live.call(*words, environ=environ)
            assert told.code == 2, told.said
            assert "second person" in told.said
        assert live.call("rollback", "--to", "2", environ=environ).code == 2
    mine = live.json("keys", "create", "--name", USER, "--scope", "admin")["secret"]
    other = live.json("keys", "create", "--name", "ben", "--scope", "admin")["secret"]
    with live.served() as record:
        promote = f"{record.control_url}/v1/endpoints/churn/promote"

        def ask(secret: str) -> int:
            body = {"version": 2, "force": True, "reason": "second"}
            headers = {"Authorization": f"Bearer {secret}"}
            return httpx.post(promote, json=body, headers=headers, timeout=60).status_code

        assert ask(mine) == 403
        assert ask(other) == 200
    refused = live.json("audit", "--outcome", "refused", "--what", "endpoint.*")["lines"]
    assert len(refused) == 7
    assert {line["code"] for line in refused} == {"access.not-authorised"}
