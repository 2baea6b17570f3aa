"""Where a version comes from is recorded, and the recording runs nothing of the repository's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shipway.registry.lineage import Captured, capture
from shipway.registry.records import CodeRecord

pytestmark = pytest.mark.needs("git")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=anna", "-c", "user.email=anna@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def look(folder: Path, **environ: str) -> Captured:
    return capture(folder, command=("python", "train.py"), environ={**os.environ, **environ})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    (folder / "train.py").write_text("print('train')\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


def test_clean(repository: Path) -> None:
    """A committed state is recorded by commit and branch, without a change."""
    found = look(repository)
    assert found.code == CodeRecord(commit=git(repository, "rev-parse", "HEAD"), branch="trunk")
    assert found.diff == b""
    assert found.command == ("python", "train.py")
    assert found.packages["msgspec"]
    assert found.python.startswith("CPython 3.")
    assert found.lineage(parent=2, parameters={"trees": 200}).parent == 2


def test_uncommitted_change(repository: Path) -> None:
    """The change is kept so that git can apply it, and has a digest of its own."""
    (repository / "train.py").write_text("print('better')\n")
    (repository / "raw.bin").write_bytes(bytes(range(256)))
    git(repository, "add", "raw.bin")
    found = look(repository)
    assert found.code.dirty
    assert found.code.diff_digest.startswith("sha256:")
    (repository.parent / "change.patch").write_bytes(found.diff)
    git(repository, "reset", "--quiet", "--hard")
    git(repository, "apply", "../change.patch")
    assert (repository / "train.py").read_text() == "print('better')\n"
    assert (repository / "raw.bin").read_bytes() == bytes(range(256))


def test_untracked_files(repository: Path) -> None:
    """A file that git does not know counts by its digest; the store and ignored files do not."""
    (repository / ".gitignore").write_text("data/\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=ignore")
    for path in (".shipway/metadata.sqlite3", "data/train.parquet"):
        (repository / path).parent.mkdir()
        (repository / path).write_text("x")
    assert not look(repository).code.dirty
    (repository / "new.py").write_text("secret = 1\n")
    first = look(repository)
    assert first.code.dirty
    assert b"new.py" in first.diff
    assert b"secret" not in first.diff
    (repository / "new.py").write_text("secret = 2\n")
    assert look(repository).code.diff_digest != first.code.diff_digest


def test_equal_states_are_equal(repository: Path) -> None:
    """Looking twice, from another folder of the repository too, gives the same record."""
    (repository / "train.py").write_text("print('better')\n")
    (repository / "part").mkdir()
    assert look(repository) == look(repository) == look(repository / "part")


def test_without_git(repository: Path, tmp_path: Path) -> None:
    """Without git, without a repository and without a folder the record is empty, no error."""
    empty = tmp_path / "empty"
    empty.mkdir()
    assert look(repository, PATH=str(empty)).code == CodeRecord()
    assert look(empty).code == CodeRecord()
    assert look(tmp_path / "none").code == CodeRecord()
    assert look(empty).lineage().code is None


def test_called_by_git(repository: Path, tmp_path: Path) -> None:
    """What git itself sets for a hook does not lead to another repository."""
    other = tmp_path / "other"
    git(tmp_path, "init", "--quiet", str(other))
    found = look(repository, GIT_DIR=str(other / ".git"), GIT_INDEX_FILE=str(tmp_path / "index"))
    assert found == look(repository)
    assert found.code.commit


def test_before_the_first_commit(tmp_path: Path) -> None:
    """A repository without a commit records its files as a change."""
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk")
    (tmp_path / "train.py").write_text("")
    found = look(tmp_path)
    assert (found.code.commit, found.code.branch, found.code.dirty) == ("", "trunk", True)


def test_hostile_repository(repository: Path, tmp_path: Path) -> None:
    """Hooks, monitors, filters, external diffs and conversions of a repository never run."""
    canary = tmp_path / "canary"
    program = tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\necho ran >> {canary}\ncat\n")
    program.chmod(0o755)
    (repository / ".gitattributes").write_text(
        "*.py filter=evil diff=evil\n*.md filter=a=b\n*.txt filter=two\n"
    )
    for name in ("a.md", "b.txt"):
        (repository / name).write_text("1\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=attributes")
    for key in (
        "core.fsmonitor",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.a=b.clean",
        "filter.two.process",
        "core.pager",
        "pager.diff",
    ):
        git(repository, "config", key, str(program))
    git(repository, "config", "filter.two.required", "true")
    git(repository, "config", "core.hooksPath", str(tmp_path))
    for name in ("post-index-change", "reference-transaction"):
        (repository / ".git" / "hooks" / name).write_text(program.read_text())
        (repository / ".git" / "hooks" / name).chmod(0o755)
    for name in ("train.py", "a.md", "b.txt"):
        (repository / name).write_text("changed\n")
    canary.unlink(missing_ok=True)
    found = look(repository, GIT_EXTERNAL_DIFF=str(program), GIT_PAGER=str(program))
    assert found.code.dirty
    assert found.diff.count(b"+changed") == 3
    assert not canary.exists()
