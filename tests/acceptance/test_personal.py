"""Personal columns through a model's life: the model sees them, and nothing written has them."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import httpx
import polars as pl
from tests.acceptance.test_encryption import new_key, say
from tests.acceptance.test_trust import move, publish
from tests.identities import Reader
from tests.projects import Project

from shipway.bootstrap.project import open_project
from shipway.monitoring.journal import read_events

AGE, FEE = 987_123_546, 31.4159265
ROW = {"age": AGE, "fee": FEE, "city": "Lima"}
TEXTS = (str(AGE), str(FEE))
SECRETS = (
    *(text.encode() for text in TEXTS),
    *(struct.pack(form, AGE) for form in (">I", "<I", ">q", "<q", ">d", "<d")),
    *(struct.pack(form, FEE) for form in (">d", "<d")),
)
"""The planted values as text, and as msgpack, Arrow and numpy have them."""


def remade(project: Project, *marks: str) -> None:
    """Mark columns, and publish and promote a version with them."""
    words = [word for mark in marks for word in ("--personal", mark)]
    project.json("contract", "infer", "--force", *words)
    project.json("pack", "model.joblib", "--trust-pickle")
    project.json("gate")
    project.json("promote", "latest")


def ask(url: str, key: str, *rows: dict[str, Any]) -> httpx.Response:
    """Ask the server for predictions of *rows*."""
    return httpx.post(
        f"{url}/v1/models/churn:predict",
        json={"instances": list(rows)},
        headers={"Authorization": f"Bearer {key}"},
    )


def written(folder: Path, *, but: set[str]) -> dict[str, bytes]:
    """What every file below *folder* holds; a table is told row by row."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_file() and name not in but:
            found[name] = path.read_bytes()
            if path.suffix == ".parquet":
                found[name] += str(pl.read_parquet(path).to_dicts()).encode()
    return found


def test_nothing_written_has_a_personal_value(project: Project, capfd: Any) -> None:
    """Good requests and bad ones, a table scored with bad rows, labels, monitoring, a backup: the
    planted values are in no file, no answer to a mistake and no log.
    """
    remade(project, "fee=hash", "age=drop")
    key = project.new_key()
    with project.served() as server:
        good = ask(server.url, key, ROW, ROW)
        bad = ask(server.url, key, {**ROW, "fee": f"x{FEE}"}, {**ROW, "age": f"{AGE}x"})
        odd = ask(server.url, key, {**ROW, "age": None})
    assert good.status_code == 200
    assert bad.status_code >= 400
    for answer in (bad, odd):
        assert not [one for one in TEXTS if one in answer.text], answer.text
    table = pl.DataFrame([ROW, {**ROW, "age": None}, ROW] * 10)
    table.write_parquet(project.folder / "asked.parquet")
    table.with_columns(pl.col("fee").cast(pl.String) + "x").write_csv(project.folder / "bad.csv")
    words = ("--keep-inputs", "--max-bad-share", "1")
    done = project.json("score", "asked.parquet", "out.parquet", *words)
    assert done["bad_rows"] == 10
    project.json("score", "bad.csv", "bad-out.csv", *words)
    project.json("backup", "backup.tar")
    project.call("monitor", "--json")
    mine = {"asked.parquet", "bad.csv", "train.parquet", "test.parquet", "model.joblib"}
    files = written(project.folder, but=mine)
    assert any(name.endswith(".journal") or "segments" in name for name in files)
    assert any(name.endswith(".quarantine.csv") for name in files)
    assert [name for name, one in files.items() if any(s in one for s in SECRETS)] == []
    key_file = project.folder / ".shipway" / "personal" / "key.json"
    assert key_file.read_bytes() not in files["backup.tar"]
    said = capfd.readouterr()
    assert not [one for one in TEXTS if one in said.out + said.err]
    hashed = project.json("encryption", "pseudonym", "fee", str(FEE))["hashed"]
    scored = pl.read_parquet(project.folder / "out.parquet")
    assert set(scored["fee"]) == {hashed}
    assert scored["age"].null_count() == scored.height
    assert [name for name, one in files.items() if hashed.encode() in one and "events" in name]


def test_the_model_sees_the_true_value(live: Project) -> None:
    """Its answers are those of the version without marks."""
    rows = pl.DataFrame([{**ROW, "city": "Lima"}, {"age": 80, "fee": 90.0, "city": "Tunis"}])
    rows.write_parquet(live.folder / "asked.parquet")
    live.json("score", "asked.parquet", "before.parquet")
    remade(live, "city=hash", "fee=drop", "age=drop")
    live.json("score", "asked.parquet", "after.parquet")
    before, after = (
        pl.read_parquet(live.folder / f"{name}.parquet")["score"] for name in ("before", "after")
    )
    assert before.to_list() == after.to_list()


def test_an_encrypted_value_is_revealed_to_who_holds_a_key(
    project: Project, tmp_path: Path
) -> None:
    """In the events it is encrypted; an identity has it back, and the audit log is told."""
    refused = project.call("contract", "infer", "--force", "--personal", "churned=hash", "--json")
    assert "churned" in str(refused.document["error"])
    public, secret = new_key(project, "key.txt")
    memory = str(tmp_path / "memory")
    say(project, recipients=[public], identities=["env:KEY_OF_TEST"], opened_in=memory)
    os.environ["KEY_OF_TEST"] = secret
    try:
        remade(project, "fee=encrypt")
        key = project.new_key()
        with project.served() as server:
            assert ask(server.url, key, ROW).status_code == 200
        with open_project(project.folder) as opened:
            (event,) = read_events(opened.home / "events", keyring=opened.keyring)
            (sealed,) = event.by_column()["fee"]
        assert str(sealed).startswith("sealed:")
        assert project.json("encryption", "reveal", "fee", str(sealed))["values"] == [FEE]
        wrong = project.call("encryption", "reveal", "age", str(sealed), "--json")
        assert wrong.document["error"]["code"] == "registry.seal-broken"
        assert project.json("encryption", "rotate")["events"]["rewrapped"] == 0
        told = project.call("audit", "show", "--what", "personal.*", "--json").out
        assert told.count("personal.reveal") == 2
        assert str(FEE) not in told
        other = Reader()
        os.environ["KEY_OF_TEST"] = other.secret
        nobody = project.call("encryption", "reveal", "fee", str(sealed), "--json")
        assert nobody.document["error"]["code"] == "encryption.key-not-held"
    finally:
        del os.environ["KEY_OF_TEST"]


def test_a_version_that_cannot_be_protected_is_not_loaded(live: Project) -> None:
    """Forced upon a worker that can encrypt for nobody, it is not loaded, and the endpoint stays
    on what it had.
    """
    text = (live.folder / "contract.yaml").read_text()
    project = live.copy(live.folder.with_name("marked"))
    project.json("contract", "infer", "--force", "--personal", "city=encrypt")
    marked = (project.folder / "contract.yaml").read_bytes()
    assert b"encrypt" in marked
    assert "encrypt" not in text
    version = publish(live, "marked", files={"contract.yaml": marked})
    os.environ["SHIPWAY_SERVE__AUTHENTICATION"] = "false"
    try:
        with live.served(), open_project(live.folder) as opened:
            state = move(opened.registry, version.number, opened.home / "run")
    finally:
        del os.environ["SHIPWAY_SERVE__AUTHENTICATION"]
    assert state.live == 1
    assert "nobody is named for whom" in state.error


def test_a_number_is_looked_for_to_its_last_digit(project: Project) -> None:
    """A long whole number has the hash that its request has, and one more has another."""
    project.json("contract", "infer", "--force", "--personal", "age=hash")
    number = 2**60 + 1
    asked = project.json("encryption", "pseudonym", "age", str(number))["hashed"]
    assert asked != project.json("encryption", "pseudonym", "age", str(number + 1))["hashed"]
    with open_project(project.folder) as opened:
        assert opened.personal.key().hashed("age", number) == asked
    wrong = project.call("encryption", "pseudonym", "age", "old", "--json").document["error"]
    assert "no number" in wrong["message"]


def test_encrypting_needs_recipients(project: Project) -> None:
    """A version whose columns cannot be protected is refused before it answers."""
    project.json("contract", "infer", "--force", "--personal", "city=encrypt")
    refused = project.call("pack", "model.joblib", "--trust-pickle", "--json")
    assert refused.code == 2
    assert "encryption.recipients" in refused.document["error"]["next_step"]
