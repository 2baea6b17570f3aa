"""Versions that travel: by commands, between two projects, through a real registry."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import oci_registries
from tests.acceptance.conftest import refusal_of
from tests.acceptance.test_trust import identity, publish, trusting
from tests.projects import Project

from shipway.runtimes.sources import archive

REGISTRY = pytest.mark.needs(oci_registries.PROGRAM)
CODE = b"def predict(frame):\n    return frame['age'] * 0 + 0.5\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on this machine."""
    with oci_registries.running(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def reference(registry: str, tmp_path: Path) -> str:
    """A name in it that no other test has."""
    return f"{registry}/models/{tmp_path.name.replace('_', '-').lower()}:1"


@pytest.fixture
def other(begun: Project, tmp_path: Path) -> Project:
    """A project of somebody else, in which nothing is published yet."""
    project = begun.copy(tmp_path / "other")
    project.json("versions")  # which makes the store
    return project


def told(project: Project, what: str) -> list[dict[str, object]]:
    """The lines of the audit log about *what*."""
    return [line for line in project.json("audit", "show")["lines"] if line["what"] == what]


@REGISTRY
def test_a_version_is_the_same_where_it_arrives(
    live: Project, other: Project, reference: str
) -> None:
    """Bytes, digest and signature arrive in a store that had nothing, and both logs tell of it."""
    sent = live.json("push", "churn@1", reference)
    assert (sent["version"], sent["signatures"], sent["already_there"]) == ("churn@1", 1, 0)
    pulled = other.json("pull", reference)
    assert (pulled["version"], pulled["new"], pulled["artifact"]) == (
        "churn@1",
        True,
        sent["digest"],
    )
    assert pulled["identity"] == identity(live)
    digests = {one.json("versions")["versions"][0]["digest"] for one in (live, other)}
    assert digests == {pulled["digest"]}
    assert other.json("verify", "1")["identity"] == identity(live)
    assert told(live, "version.push")[-1]["object"] == "churn@1"
    line = told(other, "version.pull")[-1]
    assert (line["object"], line["outcome"]) == ("churn@1", "done")
    assert line["detail"]["from"] == reference  # type: ignore[index]
    assert len(told(other, "version.publish")) == len(told(other, "version.sign")) == 1


@REGISTRY
def test_a_verdict_from_elsewhere_opens_no_gate(
    live: Project, other: Project, reference: str
) -> None:
    """What passed there is shown here, and is promoted only once it has passed here."""
    live.json("push", "churn@churn", reference)
    pulled = other.json("pull", reference)
    assert [(one["kind"], one["verdict"]) for one in pulled["claims"]] == [("gate", "pass")]
    assert other.json("versions")["versions"][0]["verdict"] == ""
    refusal_of(other, "promote", "1", code=1, says=("has not been through the gate",))
    history = other.json("versions", "--history")["happenings"]
    assert [one["what"] for one in history] == ["published", "elsewhere"]
    other.json("gate", "1")
    other.json("promote", "1")


@REGISTRY
def test_pulling_again_changes_nothing(live: Project, other: Project, reference: str) -> None:
    """The same version, signature and verdict are there once, however often they come."""
    live.json("push", "churn@1", reference)
    first, second = (other.json("pull", reference) for _ in range(2))
    assert (first["new"], second["new"]) == (True, False)
    assert first["version"] == second["version"] == "churn@1"
    assert second["signatures"] == 1
    assert len(other.json("versions", "--history")["happenings"]) == 2


@REGISTRY
def test_pushing_again_sends_nothing(live: Project, reference: str) -> None:
    """What is there is not sent, and a tag that is another artefact is moved only by force."""
    first = live.json("push", "churn@1", reference)
    again = live.json("push", "1", f"oci://{reference}")
    assert again["already_there"] == again["blobs"] == first["blobs"]
    publish(live, "another")
    live.json("sign", "2")
    live.json("verify", "2")
    refusal_of(live, "push", "churn@2", reference, says=("is another artefact",))
    moved = live.json("push", "churn@2", reference, "--force")
    assert moved["digest"] != first["digest"]


@REGISTRY
@pytest.mark.needs("skopeo")
def test_other_tools_read_and_bring_it(
    live: Project, other: Project, reference: str, tmp_path: Path
) -> None:
    """skopeo copies what was pushed into a layout and an archive, and both are pulled."""
    sent = live.json("push", "churn@1", reference)
    source = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{reference}"]
    for kind, name in (("oci", "layout"), ("oci-archive", "model.tar")):
        there = f"{kind}:{tmp_path / name}:mine"
        subprocess.run([*source, there], check=True, capture_output=True)
        asked = other.json("pull", str(tmp_path / name), "--dry-run")
        assert (asked["artifact"], asked["version"], asked["new"]) == (sent["digest"], "", True)
    pulled = other.json("pull", f"{tmp_path / 'layout'}:mine")
    assert pulled["version"] == "churn@1"


def test_a_folder_carries_a_version_with_its_signatures(
    live: Project, other: Project, tmp_path: Path
) -> None:
    """A layout on a stick is as good as a registry: tags, signatures and verdicts are in it."""
    layout = tmp_path / "stick"
    sent = live.json("push", "churn@latest", str(layout))
    assert sent["address"] == f"{layout}:churn-1"
    named = identity(live)
    trusting(other, identities=[f"churn = {named}"])
    pulled = other.json("pull", f"{layout}@{sent['digest']}")
    assert (pulled["identity"], pulled["named"], pulled["signatures"]) == (named, True, 1)
    assert len(pulled["claims"]) == 1
    # Who hands it on says only what was judged by himself.
    assert other.json("push", "churn@1", str(tmp_path / "next"))["evidence"] == 0
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_what_the_policy_does_not_believe_stays_outside(
    live: Project, other: Project, tmp_path: Path
) -> None:
    """Unsigned, by a stranger, by somebody revoked: each is an error of its own, and no version."""
    layout = tmp_path / "layout"
    live.json("push", "churn@1", str(layout))
    trusting(other, identities=[f"churn = key:{'0' * 64}"])
    error = refusal_of(other, "pull", str(layout), code=4)
    assert error["code"] == "trust.identity-unknown"
    named = identity(live)
    trusting(other, identities=[f"churn = {named}"], revoked=[named])
    error = refusal_of(other, "pull", str(layout), code=4)
    assert error["code"] == "trust.identity-revoked"
    index = json.loads((layout / "index.json").read_text())
    index["manifests"] = [one for one in index["manifests"] if "ref.name" in str(one)]
    (layout / "index.json").write_text(json.dumps(index))
    trusting(other, identities=[f"churn = {named}"])
    error = refusal_of(other, "pull", str(layout), code=4)
    assert error["code"] == "trust.signature-missing"
    assert other.json("versions")["versions"] == []
    assert {line["outcome"] for line in told(other, "version.pull")} <= {"failed", "refused"}


def test_code_comes_in_only_if_somebody_answers_for_it(
    live: Project, other: Project, tmp_path: Path
) -> None:
    """A model that is code is refused, unless a named identity signed it or somebody trusts it."""
    made = publish(
        live,
        "code",
        files={"code.zip": archive({"model.py": CODE})},
        format="python",
        main_file="code.zip",
    )
    live.json("push", made.ref, str(tmp_path / "unsigned"))
    error = refusal_of(other, "pull", str(tmp_path / "unsigned"), says=("holds code",))
    assert error["code"] == "model.code-refused"
    assert other.json("pull", str(tmp_path / "unsigned"), "--trust-code")["version"] == "churn@1"
    live.json("sign", "2")
    live.json("push", made.ref, str(tmp_path / "signed"))
    trusting(other, identities=[f"churn = {identity(live)}"])
    assert other.json("pull", str(tmp_path / "signed"))["named"]


def test_another_models_version_is_taken_only_by_its_name(
    live: Project, other: Project, tmp_path: Path
) -> None:
    """A version is of the model that it was published for; no name but its own will do."""
    live.json("push", "churn@1", str(tmp_path / "layout"))
    refusal_of(other, "pull", str(tmp_path / "layout"), "--as", "other", says=("of 'churn'",))
    assert other.json("pull", str(tmp_path / "layout"), "--as", "churn")["version"] == "churn@1"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("push", "churn@1", "models:3"), "does not name an artefact"),
        (("push", "churn@1", "models/churn:3"), "does not say which registry"),
        (("push", "churn@1", "registry.example/churn"), "another version every time"),
        (("push", "churn@1", "registry.example/churn:latest"), "another version every time"),
        (("push", "churn@9", "registry.example/churn:9"), "there is no churn@9"),
        (("push", "churn@staging", "registry.example/churn:9"), "nothing is live"),
        (("push", "other@1", "registry.example/churn:9"), "other"),
        (("push", "churn@1", "."), "holds something else"),
        (("pull", "registry.example/Churn:3"), "does not name an artefact"),
        (("pull", "captain:secret@registry.example/churn:3"), "does not name an artefact"),
        (("pull", "./absent"), "absent"),
        (("pull", "."), "no OCI image layout"),
        (("pull", "contract.yaml"), "no tar archive"),
    ],
)
def test_what_cannot_be_meant_is_told(live: Project, words: tuple[str, ...], says: str) -> None:
    """A reference that is none, or of nothing, ends with 2 and changes nothing."""
    refusal_of(live, *words, says=(says,))


def test_a_registry_that_is_not_there_is_told(live: Project, tmp_path: Path) -> None:
    """No registry at the address is no fault of Shipway's: exit code 4, and what to look at."""
    shutil.rmtree(tmp_path / "layout", ignore_errors=True)
    done = live.call("push", "churn@1", "127.0.0.1:1/churn:1")
    assert done.code == 4
    assert "does not answer" in done.err
