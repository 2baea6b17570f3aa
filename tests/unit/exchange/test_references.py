"""What names an artefact, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.errors import UsageError
from shipway.exchange.places import Local, place_to_fetch, place_to_send
from shipway.exchange.references import Reference

DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "key"),
    [
        ("registry.example/churn:3", "registry.example", "churn", "3"),
        ("oci://registry.example/churn:3", "registry.example", "churn", "3"),
        ("localhost/a/b/c:v1.0", "localhost", "a/b/c", "v1.0"),
        ("127.0.0.1:5000/churn:3", "127.0.0.1:5000", "churn", "3"),
        ("[::1]:5000/churn:3", "[::1]:5000", "churn", "3"),
        (f"registry.example/churn:3@{DIGEST}", "registry.example", "churn", DIGEST),
        (f"registry.example/churn@{DIGEST}", "registry.example", "churn", DIGEST),
    ],
)
def test_references(text: str, registry: str, repository: str, key: str) -> None:
    """A registry, a repository in it, and a digest or else a tag."""
    found = place_to_fetch(text)
    assert isinstance(found, Reference)
    assert (found.registry, found.repository, found.key) == (registry, repository, key)
    assert place_to_fetch(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "churn",
        "churn:3",
        "models/churn:3",
        "registry.example/churn",
        "registry.example/churn:latest",
        "registry.example/Churn:3",
        "registry.example/../churn:3",
        "registry.example//churn:3",
        "registry.example/churn:3@sha256:00",
        f"registry.example/churn@md5:{'0' * 32}",
        "user:secret@registry.example/churn:3",
        "https://registry.example/churn:3",
        "registry.example/churn:3?x=1",
        "registry.example/churn:3\n",
        "registry.example/churn:\u0663",
        "oci://./folder",
        "-registry.example/churn:3",
        "registry.example/" + "a" * 600 + ":3",
        "folder\0",
    ],
)
def test_what_names_nothing(text: str) -> None:
    """Anything else is refused with what would be right."""
    with pytest.raises(UsageError) as caught:
        place_to_fetch(text)
    assert caught.value.next_step


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is told by how it begins or by being there; a tag or a digest may follow it."""
    monkeypatch.chdir(tmp_path)
    assert place_to_fetch("./out") == Local(path=Path("out"))
    assert place_to_fetch("/srv/out:3") == Local(path=Path("/srv/out"), tag="3")
    assert place_to_fetch(f"./out@{DIGEST}") == Local(path=Path("out"), digest=DIGEST)
    (tmp_path / "stick").mkdir()
    assert place_to_send("stick") == Local(path=Path("stick"))
    assert place_to_send("stick:3") == Local(path=Path("stick"), tag="3")
    (tmp_path / "stick:3").mkdir()
    assert place_to_send("stick:3") == Local(path=Path("stick:3"))


@pytest.mark.parametrize("text", [f"registry.example/churn@{DIGEST}", f"./out@{DIGEST}"])
def test_nobody_chooses_the_digest_of_what_is_sent(text: str) -> None:
    """A digest is made by what is sent."""
    with pytest.raises(UsageError, match="names a digest"):
        place_to_send(text)


def test_only_this_machine_is_spoken_to_in_plain() -> None:
    """Loopback is here; a name that only looks like it is not."""
    here = {"localhost:1/a:1": True, "127.9.9.9/a:1": True, "[::1]:1/a:1": True}
    there = {"localhost.example/a:1": False, "127.0.0.1.example/a:1": False}
    for text, expected in (here | there).items():
        found = place_to_fetch(text)
        assert isinstance(found, Reference)
        assert found.is_here is expected
