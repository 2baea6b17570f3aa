"""Who is believed, from the settings to the worker: by commands, as an operator would."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.model_signers import new_chain, new_key
from tests.projects import Project

from shipway.bootstrap.project import open_project
from shipway.registry.entries import file_entries
from shipway.registry.records import Version
from shipway.runtimes.sources import archive
from shipway.serving.status import wait_for_workers

CODE = b"""
import pickle
from pathlib import Path

WEIGHTS = pickle.loads((Path(__file__).parent / "weights.pkl").read_bytes())

def predict(frame):
    return frame["age"] * 0 + WEIGHTS
"""


def trusting(project: Project, **settings: Any) -> None:
    """Write *settings* as the section [trust]."""
    path = project.folder / "shipway.toml"
    text = path.read_text().partition("\n[trust]\n")[0]
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in settings.items()]
    path.write_text("\n".join([text, "[trust]", *lines, ""]))


def identity(project: Project) -> str:
    """Who signs in *project*."""
    return str(project.json("sign", "--dry-run")["identity"])


def publish(
    project: Project, name: str, *, files: dict[str, bytes] | None = None, **spec: Any
) -> Version:
    """A version like the first but for *files*, published behind the commands' back, unsigned."""
    with open_project(project.folder) as opened:
        registry = opened.registry
        first = registry.version("churn", 1)
        contents = {
            path: file.read_bytes() for path, file in registry.verified_files(first).items()
        } | (files or {})
        manifest = msgspec.structs.replace(
            first.manifest,
            spec=msgspec.structs.replace(first.manifest.spec, **spec),
            files=file_entries(contents),
            notes=(name,),
        )
        return registry.publish(manifest, contents, by="test", now=datetime.now(UTC))


def test_what_is_published_is_signed_and_verified(live: Project) -> None:
    """A first version is signed by the store's own key, which lies there for its user alone."""
    verified = live.json("verify")
    assert verified["identity"] == identity(live)
    assert verified["identity"].startswith("key:")
    assert not verified["named"]
    trusting(live, identities=[f"churn = {verified['identity']}"])
    again = live.json("verify", "1")
    assert (again["named"], again["mode"]) == (True, "require")
    key = live.folder / ".shipway" / "signing" / "key.pem"
    assert key.stat().st_mode & 0o077 == 0
    done = live.call("verify", "1")
    assert "PRIVATE" not in done.said
    assert "is what was published" in done.out


@pytest.mark.parametrize(
    "words",
    [
        "gate",
        "score test.parquet o.csv",
        "edge out",
        "image out",
        "card",
        "verify",
    ],
)
def test_nothing_opens_a_version_that_is_not_believed(
    live: Project, refused: Callable[..., dict[str, object]], words: str
) -> None:
    """Where a signature by somebody else is required, every command refuses by the same code."""
    trusting(live, identities=[f"* = key:{'0' * 64}"])
    error = refused(live, *words.split(), code=4, says=("churn@1 is signed by key:",))
    assert error["code"] == "trust.identity-unknown"


def test_a_certificate_signs_and_is_believed(project: Project) -> None:
    """With sign.key and sign.certificate, versions are signed and believed by certificate."""
    chain = new_chain()
    paths = chain.write(project.folder / "chain")
    (project.folder / "chain" / "both.pem").write_bytes(chain.leaf + chain.between)
    settings = project.folder / "shipway.toml"
    settings.write_text(
        f'{settings.read_text()}\n[sign]\nkey = "file:chain/key.pem"\n'
        'certificate = "chain/both.pem"\n'
    )
    who = f"churn = {chain.signer.identity}"
    trusting(project, identities=[who], authorities="chain/root.pem")
    project.json("pack", "model.joblib", "--trust-pickle")
    assert project.json("verify")["identity"] == chain.signer.identity
    assert paths["root"].exists()
    assert not (project.folder / ".shipway" / "signing").exists()
    trusting(project, identities=[who], authorities="chain/root.pem", revoked=[who[8:]])
    done = project.call("gate", "--json")
    assert done.document["error"]["code"] == "trust.identity-revoked"


def test_a_folder_from_elsewhere_is_verified_whole(
    live: Project, refused: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    """A version written for other tools verifies as a folder, and not with a file more."""
    trusting(live, identities=[f"* = {identity(live)}"])
    out = tmp_path / "out"
    made = live.json("sign", "1", "--out", str(out))
    assert "model.sig" in made["files"]
    public = tmp_path / "public.pem"
    public.write_text(made["public_key"])
    words = ("verify", "--folder", str(out), "--public-key", str(public))
    assert live.json(*words)["identity"] == identity(live)
    (out / "more.py").write_text("print()")
    error = refused(live, *words, code=4, says=("more.py",))
    assert error["code"] == "trust.file-unlisted"
    assert live.json(*words, "--ignore", "more.py")["named"]
    refused(live, "sign", "1", "--out", str(out), says=("already",))


def test_bad_settings_are_told_before_anything_is_opened(
    live: Project, refused: Callable[..., dict[str, object]]
) -> None:
    """A policy that would believe nobody, or that cannot be read, is a problem of the settings."""
    for settings, says in (
        ({"mode": "require"}, "trust.mode needs trust.identities"),
        ({"pickle": ["*"]}, "trust.pickle needs trust.identities"),
        ({"identities": ["* = somebody"]}, "trust.identities is"),
        ({"identities": ["* = certificate:CN=a by CN=b"]}, "need trust.authorities"),
        (
            {"identities": ["* = certificate:CN=a by CN=b"], "authorities": "none.pem"},
            "cannot be read",
        ),
    ):
        trusting(live, **settings)
        refused(live, "verify", says=(says,))


def test_a_version_that_is_not_believed_disturbs_nobody(live: Project) -> None:
    """Promoting it is refused with its code; forced upon a worker, it is not loaded there, and the
    endpoint stays on what it had until somebody who is named signs it.
    """
    own = identity(live)
    trusting(live, identities=[f"churn = {own}"])
    unsigned = publish(live, "unsigned")
    os.environ["SHIPWAY_SERVE__AUTHENTICATION"] = "false"
    try:
        with live.served(), open_project(live.folder) as opened:
            done = live.call("promote", str(unsigned.number), "--force", "--reason", "x", "--json")
            assert done.document["error"]["code"] == "trust.signature-missing"
            state = move(opened.registry, unsigned.number, opened.home / "run")
            assert state.live == 1
            assert "is not signed, and the policy requires that it is" in state.error
            live.json("sign", str(unsigned.number))
            assert move(opened.registry, 1, opened.home / "run").error == ""
            assert move(opened.registry, unsigned.number, opened.home / "run").live == 2
    finally:
        del os.environ["SHIPWAY_SERVE__AUTHENTICATION"]


def move(registry: Any, number: int, run: Path) -> Any:
    """Change the endpoint behind everybody's back; what the worker says to it."""
    sequence = registry.endpoint("churn").sequence
    registry.move_endpoint(
        "churn",
        model="churn",
        expected=sequence,
        live=number,
        action="promote",
        by="test",
        reason="",
        evidence=None,
        forced=True,
        now=datetime.now(UTC),
    )
    (worker,) = wait_for_workers(run, "churn", sequence + 1, timeout_s=60)
    assert worker.ready
    return worker.endpoints["churn"]


def test_a_pickle_is_loaded_only_where_all_three_are_there(live: Project) -> None:
    """Code that opens a pickle is gated when a named identity signed it and it is listed; else it
    is refused, and never runs.
    """
    import pickle

    code = archive({"serving.py": CODE, "weights.pkl": pickle.dumps(1, 4)})
    version = publish(
        live,
        "with a pickle",
        files={"model.zip": code},
        format="python",
        main_file="model.zip",
        library={},
        options={"entry": "serving:predict"},
    )
    number, own = str(version.number), identity(live)

    def code_of(*words: str) -> Any:
        done = live.call(*words, "--json")
        return done.document.get("error", {}).get("code", "")

    assert code_of("gate", number) == "model.pickle-refused"
    trusting(live, identities=[f"churn = {own}"])
    live.json("sign", number)
    assert code_of("gate", number) == "model.pickle-refused"
    trusting(live, identities=[f"churn = key:{new_key()[0].public.fingerprint}"], pickle=["churn"])
    assert code_of("gate", number) == "trust.identity-unknown"
    trusting(live, identities=[f"churn = {own}"], pickle=["churn"])
    assert code_of("gate", number) == ""


def test_an_image_believes_whom_the_project_believes(live: Project, tmp_path: Path) -> None:
    """What a version says of trust does not count: an image is told by the project of today."""
    from shipway.api.image import _app

    chain = new_chain()
    (live.folder / "root.pem").write_bytes(chain.root)
    trusting(live, identities=[f"* = {chain.signer.identity}"], authorities="root.pem")
    settings = '[model]\nname = "churn"\n[sign]\nkey = "env:KEY"\n[trust]\nmode = "off"\n'
    with open_project(live.folder) as opened:
        app = _app(opened, settings)
    assert app["authorities.pem"] == chain.root
    told = app["shipway.toml"].decode()
    assert "off" not in told
    assert "KEY" not in told
    assert chain.signer.identity in told
    assert 'authorities = "authorities.pem"' in told
    assert not list(tmp_path.glob("*.pem"))
