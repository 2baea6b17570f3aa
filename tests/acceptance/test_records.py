"""What is in production, where it came from, and how to get it back: by the command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.projects import Flights

from shipway.domain.digests import digest_of_file


@pytest.fixture(scope="module")
def two(flights: Flights, tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """A second version, by other settings, promoted and taken back. Only to be read."""
    project = flights.copy(tmp_path_factory.mktemp("two"))
    settings = project.folder / "shipway.toml"
    text = settings.read_text(encoding="utf-8")
    assert "at_least = 0." in text
    settings.write_text(text.replace("at_least = 0.", "at_least = 0.00", 1), encoding="utf-8")
    project.json("pack", "model.joblib", "--trust-pickle")
    project.json("gate")
    project.json("promote", "2", "--force", "--reason", "a trial")
    project.json("rollback")
    return project


def test_history_tells_all(two: Flights) -> None:
    """Every publication, judgement and move is told in order, with who, why and the verdict."""
    happenings = two.json("versions", "--history")["happenings"]
    told = [(one["what"], one["version"]) for one in happenings]
    assert told == [
        ("published", 1),
        ("gate", 1),
        ("promote", 1),
        ("published", 2),
        ("gate", 2),
        ("promote", 2),
        ("rollback", 1),
    ]
    assert all(one["by"] for one in happenings if one["what"] != "gate")
    moves = [one for one in happenings if one["what"] in {"promote", "rollback"}]
    assert all(one["evidence"] and one["verdict"] and one["reason"] for one in moves)
    assert [one["evidence"] for one in moves] == [1, 2, 1]


def test_diff_tells_what_was_changed(two: Flights) -> None:
    """Of two versions that differ by one objective alone, that and what follows from it is told."""
    compared = two.json("versions", "diff", "1", "2")
    sections = {one["section"] for one in compared["differences"]}
    assert "objectives" in sections
    assert sections <= {"objectives", "files", "metrics", "verdict", "code", "data"}
    assert two.json("versions", "diff", "1", "1")["differences"] == []
    shown = two.call("versions", "diff", "1", "2")
    assert "Version 1" in shown.out
    assert two.call("versions", "diff", "1", "9").code == 2


@pytest.mark.parametrize("by", ["file", "digest", "prefix", "name", "role"])
def test_where_a_table_was_used(two: Flights, by: str) -> None:
    """A table is found by its file, its digest, a part of that, its name and its role."""
    digest = digest_of_file(two.folder / "data" / "train.parquet")
    asked = {
        "file": "data/train.parquet",
        "digest": digest,
        "prefix": digest.removeprefix("sha256:")[:8],
        "name": "train.parquet",
        "role": "train",
    }[by]
    uses = two.json("versions", "where-used", asked)["uses"]
    assert [(use["version"], use["role"]) for use in uses] == [(1, "train"), (2, "train")]
    assert {use["digest"] for use in uses} == {digest}
    assert uses[0]["live_on"] == uses[1]["was_live_on"] == [uses[0]["model"]]
    assert uses[1]["live_on"] == []


def test_the_test_table_is_found_by_the_gate(two: Flights) -> None:
    """What a version was judged on counts as used; what nobody used is told so."""
    uses = two.json("versions", "where-used", "data/test.parquet")["uses"]
    assert {(use["version"], use["role"]) for use in uses} == {(1, "test"), (2, "test")}
    assert two.call("versions", "where-used", "00000000").code == 2


def test_what_answered(two: Flights, tmp_path: Path) -> None:
    """A prediction leads to its version, who put it there, when, and the verdict behind it."""
    project = two.copy(tmp_path)
    key = project.new_key()
    two.later.head(3).write_parquet(project.folder / "asked.parquet")
    with project.served():
        answer = project.json("predict", "asked.parquet", "--key", key)
        names = answer["outputs"]["prediction_id"]
        live = project.json("versions", "answered", names[2])
    assert project.json("versions", "answered", names[2]) == live
    for name in (names[0], names[0].partition(":")[0]):
        found = project.json("versions", "answered", name)
        assert (found["version"], found["status"], found["verdict"]) == (1, 200, "pass")
        assert (found["change"]["action"], found["evidence"]) == ("rollback", 1)
        assert found["change"]["by"]
    assert "Put there by" in project.call("versions", "answered", names[0]).out
    assert project.call("versions", "answered", "booking-4712").code == 2


def test_delete_collect_back_up_and_restore(two: Flights, tmp_path: Path) -> None:
    """What never was live can go, what was live cannot; a backup brings all of it back."""
    project = two.copy(tmp_path / "project")
    assert project.call("versions", "delete", "2").code == 2
    with (project.folder / "shipway.toml").open("a", encoding="utf-8") as settings:
        settings.write("# another version\n")
    project.json("pack", "model.joblib", "--trust-pickle")
    assert project.json("versions", "delete", "latest", "--dry-run")["number"] == 3
    assert project.json("versions", "delete", "latest", "--reason", "a try")["number"] == 3
    assert project.json("gc")["removed"] == []
    assert project.json("gc", "--grace-days", "0")["removed"]
    backup = tmp_path / "store.backup"
    assert project.json("backup", str(backup), "--dry-run")["versions"] == 2
    assert project.json("backup", str(backup))["versions"] == 2
    assert project.call("backup", str(backup)).code == 2
    home = tmp_path / "restored"
    assert project.json("restore", str(backup), str(home), "--dry-run")["versions"] == 2
    assert not home.exists()
    project.json("restore", str(backup), str(home))
    environ = {"SHIPWAY_HOME": str(home)}
    done = project.call("versions", "--history", "--json", environ=environ)
    assert done.document == project.json("versions", "--history")
    assert project.call("doctor", "--thorough", environ=environ).code == 0


@pytest.mark.needs("git")
def test_tags_when_asked(two: Flights, tmp_path: Path) -> None:
    """With store.git_tags every version and every change of an endpoint becomes a tag."""
    project = two.copy(tmp_path)

    def git(*words: str) -> str:
        identity = ("-c", "user.name=anna", "-c", "user.email=anna@example.org")
        command = ["git", *identity, *words]
        done = subprocess.run(
            command, cwd=project.folder, check=True, capture_output=True, text=True
        )
        return done.stdout

    (project.folder / ".gitignore").write_text(".shipway/\ndata/\n*.joblib\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message=first")
    with (project.folder / "shipway.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[store]\ngit_tags = true\n")
    project.json("pack", "model.joblib", "--trust-pickle")
    assert git("tag", "--list").split() == ["flight-delay@v3"]
    project.json("promote", "3", "--force", "--reason", "a trial")
    assert git("tag", "--list").split() == ["flight-delay#flight-delay#4", "flight-delay@v3"]
    assert project.json("versions", "tag")["written"] == []
    told = project.json("versions", "tag", "--show")["events"]
    assert [(one["event"], one["version"], one["stage"]) for one in told] == [
        ("assignment", "v3", "flight-delay"),
        ("registration", "v3", ""),
    ]
