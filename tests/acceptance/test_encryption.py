"""A project whose versions are encrypted: by commands, and served."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.projects import Project

ROW = '[{"age": 40, "fee": 20.5, "city": "Lima"}]'


def say(project: Project, **settings: Any) -> None:
    """Write *settings* as the section [encryption]."""
    path = project.folder / "shipway.toml"
    text = path.read_text().partition("\n[encryption]\n")[0]
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in settings.items()]
    path.write_text("\n".join([text, "[encryption]", *lines, ""]))


def new_key(project: Project, name: str) -> tuple[str, str]:
    """The public and the secret half of a key that a command made in the file *name*."""
    made = project.json("encryption", "keygen", name)
    file = project.folder / name
    assert file.stat().st_mode & 0o077 == 0
    return str(made["recipient"]), file.read_text().splitlines()[-1]


def model_of(store: Path) -> bytes:
    """The model that lies in the plain *store*, in its cache."""
    return next(store.glob("cache/*/model.onnx")).read_bytes()


def readable(folder: Path, model: bytes) -> set[str]:
    """The files below *folder* that hold *model* as anybody can read it."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and model in path.read_bytes()
    }


def written(folder: Path) -> dict[str, tuple[int, int]]:
    """Which files are below *folder*, and what changes when one is written again."""
    found = {str(path): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def test_versions_are_encrypted_and_served(live: Project, tmp_path: Path) -> None:
    """From a plain store to an encrypted one: nothing on the disk can be read, and a server with
    the key answers as before, tries out a version and switches to it.
    """
    memory = tmp_path / "memory"
    store = live.folder / ".shipway"
    recipient, secret = new_key(live, "key.txt")
    before = live.json("verify", "1")
    model = model_of(store)
    assert len(readable(store, model)) == 2
    say(live, recipients=[recipient], identities=["file:key.txt"], opened_in=str(memory))
    planned = live.json("encryption", "seal", "--dry-run")
    assert planned["sealed"] == ["churn@1"]
    assert readable(store, model)
    assert live.json("encryption", "seal")["sealed"] == ["churn@1"]
    assert live.json("encryption", "seal")["sealed"] == []
    live.json("gc", "--grace-days", "0")
    assert readable(store, model) == set()
    assert live.json("verify", "1") == before
    live.json("pack", "model.joblib", "--trust-pickle")
    found = live.json("encryption", "status")
    assert found["versions"]["sealed_versions"] == 2
    assert found["versions"]["plain_versions"] == []
    say(live, recipients=[recipient], identities=["env:KEY_OF_TEST"], opened_in=str(memory))
    os.environ["KEY_OF_TEST"] = secret
    try:
        key = live.new_key()
        with live.served() as server:
            first = live.json("predict", ROW, "--key", key)
            live.json("promote", "2", "--force", "--reason", "to see it served")
            second = live.json("predict", ROW, "--key", key)
            asked = second["outputs"]["prediction_id"][0]
            (live.folder / "labels.csv").write_text(f"prediction_id,churned\n{asked},1\n")
            live.json("labels", "add", "labels.csv", "--url", server.control_url, "--key", key)
        assert live.json("doctor", "--thorough")
        assert live.json("versions", "answered", asked)["version"] == 2
    finally:
        del os.environ["KEY_OF_TEST"]
    assert (first["versions"], second["versions"]) == (["1"], ["2"])
    assert readable(store, model) == set()
    assert readable(memory, model)
    everything = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert secret.encode() not in everything
    kept = [path for name in ("events", "labels") for path in (store / name).rglob("*.*")]
    assert len([path for path in kept if b"shipway-key-1" in path.read_bytes()]) >= 2
    assert not [path for path in kept if b"Lima" in path.read_bytes()]
    assert not [path for path in kept if asked.encode() in path.read_bytes()]
    events = live.json("encryption", "status")["events"]
    assert (events["plain"], events["sealed"] >= 2) == (0, True)


def test_rotation(live: Project, tmp_path: Path) -> None:
    """Another reader takes the place of the first, who opens nothing any more."""
    memory = str(tmp_path / "memory")
    first, _ = new_key(live, "first.txt")
    second, _ = new_key(live, "second.txt")
    say(live, recipients=[first], identities=["file:first.txt"], opened_in=memory)
    live.json("encryption", "seal")
    say(live, recipients=[second], identities=["file:first.txt"], opened_in=memory)
    planned = live.json("encryption", "rotate", "--dry-run")
    blobs = written(live.folder / ".shipway" / "blobs")
    done = live.json("encryption", "rotate")
    assert planned == done
    assert done["versions"]["rewrapped"] > 0
    assert written(live.folder / ".shipway" / "blobs") == blobs
    told = live.call("audit", "show", "--what", "*.rewrap", "--json").out
    assert "version.rewrap" in told
    refused = live.call("verify", "1", "--json")
    assert refused.document["error"]["code"] == "encryption.key-not-held"
    say(live, recipients=[second], identities=["file:second.txt"], opened_in=memory)
    assert live.json("verify", "1")["subject"] == "churn@1"
    assert list(live.json("encryption", "status")["versions"]["files_for"]) == [second]


def test_mistakes_are_told(project: Project) -> None:
    """What is wrong with keys and settings is told with the way out, and no secret."""
    public, secret = new_key(project, "key.txt")
    again = project.call("encryption", "keygen", "key.txt", "--json").document["error"]
    assert "is there already" in again["message"]
    inside = project.call("encryption", "keygen", ".shipway/key.txt", "--json").document["error"]
    assert "lies in the store that the key is to protect" in inside["message"]
    nowhere = project.call("encryption", "keygen", "none/key.txt", "--json").document["error"]
    assert "there is no folder" in nowhere["message"]
    nobody = project.call("encryption", "rotate", "--json").document["error"]
    assert "encryption.recipients" in nobody["next_step"]
    say(project, recipients=["age1wrong"], identities=["key.txt"])
    wrong = project.call("check", "--json").document["error"]
    assert len(wrong["problems"]) == 2
    assert secret not in str(wrong)
    say(project, recipients=[public])
    assert project.json("check")


@pytest.mark.parametrize("words", [("rotate",), ("seal",), ("keygen", "new.txt")])
def test_a_dry_run_changes_nothing(project: Project, words: tuple[str, ...]) -> None:
    """With --dry-run neither a key nor a file is written."""
    public, _ = new_key(project, "key.txt")
    say(project, recipients=[public], identities=["file:key.txt"])
    project.json("encryption", *words, "--dry-run")
    assert not (project.folder / "new.txt").exists()
