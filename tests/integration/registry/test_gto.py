"""Versions and promotions as git tags in GTO's form, written once and read back."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.stores import NOW, files, manifest

from shipway.errors import EnvironmentFailure, UsageError
from shipway.registry.gto import Tag, assignment, read_tags, registration, write_tags
from shipway.registry.records import CodeRecord, EndpointChange, Lineage, Version

pytestmark = pytest.mark.needs("git")


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=anna", "-c", "user.email=anna@example.org")
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    for message in ("first", "second"):
        git(tmp_path, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return tmp_path


def version(repository: Path, number: int, commit: str, model: str = "churn") -> Version:
    code = CodeRecord(commit=git(repository, "rev-parse", commit))
    made = msgspec.structs.replace(manifest(files("a"), model=model), lineage=Lineage(code=code))
    return Version(
        model=model,
        number=number,
        digest="",
        created_at=NOW + timedelta(minutes=number),
        created_by="Anna Zoë",
        manifest=made,
    )


def change(sequence: int, live: int, endpoint: str = "prod") -> EndpointChange:
    return EndpointChange(
        endpoint=endpoint,
        model="churn",
        sequence=sequence,
        action="promote",
        before=None,
        live=live,
        at=NOW + timedelta(hours=sequence),
        by="ben",
        reason="better",
        evidence=1,
    )


def all_tags(repository: Path) -> list[Tag]:
    versions = {1: version(repository, 1, "HEAD~1"), 2: version(repository, 2, "HEAD")}
    moves = [change(1, 1), change(2, 2), change(1, 1, endpoint="staging"), change(3, 1)]
    tags = [registration(each) for each in versions.values()]
    tags += [assignment(each, versions[each.live]) for each in moves]
    return [each for each in tags if each is not None]


def test_written_and_read_back(repository: Path) -> None:
    """Each tag is annotated, on its commit, by its author at its time, and reads back as it was."""
    written = write_tags(repository, all_tags(repository), os.environ)
    assert written == (
        "churn@v1",
        "churn@v2",
        "churn#prod#1",
        "churn#prod#2",
        "churn#staging#1",
        "churn#prod#3",
    )
    assert git(repository, "cat-file", "-t", "churn@v1") == "tag"
    events = read_tags(repository, os.environ)
    told = [(one.event, one.version, one.stage, one.ref) for one in events]
    assert told[0] == ("assignment", "v1", "prod", "churn#prod#3")
    assert told[-2:] == [
        ("registration", "v2", "", "churn@v2"),
        ("registration", "v1", "", "churn@v1"),
    ]
    assert {one.author for one in events} == {"Anna Zoë", "ben"}
    assert events[0].at == NOW.replace(microsecond=0) + timedelta(hours=3)
    assert events[0].commit == git(repository, "rev-parse", "HEAD~1")


def test_written_once(repository: Path) -> None:
    """A tag that is there stays as it is, whoever wrote it; what is new is added."""
    git(repository, "tag", "-a", "-m", "by hand", "churn@v1", "HEAD")
    written = write_tags(repository, all_tags(repository), os.environ)
    assert "churn@v1" not in written
    assert write_tags(repository, all_tags(repository), os.environ) == ()
    assert git(repository, "rev-parse", "churn@v1^{}") == git(repository, "rev-parse", "HEAD")


def test_a_history_that_gto_wrote(repository: Path) -> None:
    """Tags with versions of three parts are read with their stages, as GTO tells them."""
    head, before = (git(repository, "rev-parse", name) for name in ("HEAD", "HEAD~1"))
    for minute, (name, commit) in enumerate(
        [
            ("churn@v3.0.0", before),
            ("churn@v3.1.0", head),
            ("churn#staging#1", head),
            ("churn#prod#2", before),
            ("churn#prod!#3", before),
            ("v1.0", head),
        ]
    ):
        environ = {**os.environ, "GIT_COMMITTER_DATE": f"2022-05-20T03:{minute:02}:00Z"}
        words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "tag", "-a", "-m", name]
        subprocess.run([*words, name, commit], cwd=repository, env=environ, check=True)
    git(repository, "tag", "churn@v9")
    told = [(one.event, one.version, one.stage) for one in read_tags(repository, os.environ)]
    assert told == [
        ("assignment", "v3.0.0", "prod"),
        ("assignment", "v3.1.0", "staging"),
        ("registration", "v3.1.0", ""),
        ("registration", "v3.0.0", ""),
    ]


def test_what_cannot_be_tagged(repository: Path, tmp_path: Path) -> None:
    """No commit gives no tag; a commit or repository that is not there is told in git's words."""
    found = version(repository, 1, "HEAD")
    bare = msgspec.structs.replace(
        found, manifest=msgspec.structs.replace(found.manifest, lineage=Lineage())
    )
    assert registration(bare) is None
    assert assignment(change(1, 1), bare) is None
    with pytest.raises(UsageError, match="cannot be the name of a git tag"):
        registration(version(repository, 1, "HEAD", model="a..b"))
    tag = registration(found)
    assert tag is not None
    with pytest.raises(EnvironmentFailure, match="git says"):
        write_tags(repository, [msgspec.structs.replace(tag, commit="0" * 40)], os.environ)
