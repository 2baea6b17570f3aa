"""Disks, stores, ports and orders that the machine or the history does not allow."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance.conftest import refusal_of, tree
from tests.projects import Project

from shipway.bootstrap.project import open_project


def limited(folder: Path, *words: str, most_bytes: int) -> subprocess.CompletedProcess[str]:
    """``shipway`` with *words* where no file may grow beyond *most_bytes*."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.run(
        [sys.executable, "-m", "shipway", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )


def mountable() -> bool:
    """Whether this user may mount a file system of its own."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


MOUNTS = pytest.mark.skipif(not mountable(), reason="unshare may not mount a tmpfs here")


def mounted(
    source: Path, target: Path, script: str, *, options: str
) -> subprocess.CompletedProcess[str]:
    """*script* in a copy of *source* on a small file system of its own, mounted at *target*."""
    target.mkdir()
    lines = (
        f"mount -t tmpfs -o {options} tmpfs {target}",
        f"cp -r {source}/. {target}",
        f"cd {target}",
        script,
    )
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SHIPWAY": f"{sys.executable} -m shipway"},
    )


FILLING = {
    "contract": (("contract", "infer", "--force"), 512),
    "init": (("init", "--data", "train.parquet", "--force"), 256),
    "score": (("score", "test.parquet", "scores.parquet"), 512),
    "labels": (("labels", "add", "labels.csv"), 4_096),
    "card": (("card",), 512),
    "edge": (("edge", "bundle"), 512),
    "ci": (("ci", "init", "github", "--model", "model.joblib"), 256),
}


@pytest.mark.parametrize("what", FILLING)
def test_a_disk_that_fills_up_leaves_nothing_half_written(live: Project, what: str) -> None:
    """The command ends with 4, says that the disk is full, and every file is as it was."""
    words, most_bytes = FILLING[what]
    lines = "".join(f"{'a' * 24}:{row},1\n" for row in range(2_000))
    (live.folder / "labels.csv").write_text(f"prediction_id,churned\n{lines}")
    before = tree(live.folder)
    done = limited(live.folder, *words, most_bytes=most_bytes)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "full" in done.stderr, done.stderr
    assert "Next: " in done.stderr
    after = tree(live.folder)
    if what == "labels":  # whole batches before the full disk stay, and are told to no one
        before = {name: digest for name, digest in before.items() if "labels" not in name}
        after = {name: digest for name, digest in after.items() if "labels" not in name}
    assert {name for name in after.keys() - before.keys() if after[name] != "folder"} == set()
    assert {name: after.get(name) for name in before} == before


def test_a_publish_on_a_disk_that_fills_up_leaves_no_version(project: Project) -> None:
    """Nothing is listed, no blob lies about, and the same command works once there is room."""
    assert project.json("versions")["versions"] == []
    before = tree(project.folder)
    words = ("pack", "model.joblib", "--trust-pickle")
    for most_bytes in (256, 1_024, 2_048):
        done = limited(project.folder, *words, most_bytes=most_bytes)
        assert done.returncode == 4, done.stdout + done.stderr
        assert "full" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert project.json("versions")["versions"] == []
    left = tree(project.folder).keys() - before.keys()
    assert not [name for name in left if Path(name).name.startswith(".")], left
    project.json(*words)
    assert len(project.json("versions")["versions"]) == 1


FILLED_AND_FREED = """\
dd if=/dev/zero of=filler bs=1k count=100000 2>/dev/null
$SHIPWAY pack model.joblib --trust-pickle --json; echo code $?
rm filler
$SHIPWAY pack model.joblib --trust-pickle --json >/dev/null; echo code $?
$SHIPWAY versions --json | grep -c '"number": 1'
"""


@MOUNTS
def test_a_file_system_without_room_is_told(begun: Project, tmp_path: Path) -> None:
    """A real full file system: publishing ends with 4, and with room it works."""
    done = mounted(begun.folder, tmp_path / "disk", FILLED_AND_FREED, options="size=4m")
    assert "code 4" in done.stdout, done.stdout + done.stderr
    assert "code 0" in done.stdout
    assert done.stdout.strip().endswith("1")
    assert "full" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@MOUNTS
def test_a_store_that_may_only_be_read(published: Project, tmp_path: Path) -> None:
    """What only reads works or says why not; what writes says that it may not, and where."""
    script = "\n".join(
        (
            f"mount -o remount,ro {tmp_path / 'disk'}",
            *(
                f"echo '== {words}'; $SHIPWAY {words} --json 2>&1; echo code $?"
                for words in (
                    "contract infer --force",
                    "pack model.joblib --trust-pickle",
                    "gate",
                    "rollback",
                    "keys create",
                    "score test.parquet scores.parquet",
                    "serve --port 0",
                )
            ),
        )
    )
    done = mounted(published.folder, tmp_path / "disk", script, options="size=64m")
    assert "Traceback" not in done.stdout + done.stderr
    assert "shipway.fault" not in done.stdout, done.stdout
    parts = done.stdout.split("== ")[1:]
    assert len(parts) == 7, done.stdout + done.stderr
    for part in parts:
        code = int(part.rpartition("code ")[2])
        assert code in (2, 4), part
        assert '"next_step"' in part


def test_a_store_of_a_newer_release_is_refused_untouched(live: Project) -> None:
    """No command opens it, changes it or serves from it; the next step is to update."""
    database = live.folder / ".shipway" / "metadata.sqlite3"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for words in (
        ("versions",),
        ("pack", "model.joblib", "--trust-pickle"),
        ("gate",),
        ("promote",),
        ("serve",),
        ("keys", "create"),
        ("score", "test.parquet", "scores.parquet"),
    ):
        error = refusal_of(live, *words, code=4, says=("newer",))
        assert error["code"] == "store.failed"
    done = live.call("doctor")
    assert done.code == 4
    assert "newer" in done.out


def spoil_bytes(path: Path) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut_bytes(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [spoil_bytes, cut_bytes, Path.unlink])
def test_a_changed_blob_blocks_its_version(live: Project, harm: Callable[[Path], None]) -> None:
    """One flipped bit, a byte too few, or a file that is gone: the version is not used."""
    with open_project(live.folder) as project:
        files = project.registry.resolve("1", "churn").manifest.files
    name = next(file.digest for file in files if file.path.endswith(".onnx")).partition(":")[2]
    shutil.rmtree(live.folder / ".shipway" / "cache", ignore_errors=True)
    harm(live.folder / ".shipway" / "blobs" / "blobs" / "sha256" / name)
    for words in (("gate",), ("score", "test.parquet", "scores.parquet"), ("edge", "bundle")):
        done = live.call(*words, "--json")
        assert done.code == 4, done.said
        error = done.document["error"]
        assert error["code"].startswith("registry."), error
        assert error["next_step"]
        assert not (live.folder / words[-1]).exists()
    done = live.call("doctor", "--thorough")
    assert done.code == 4
    assert "Traceback" not in done.said


def test_a_database_that_is_none_is_told(live: Project) -> None:
    """Garbage where the database should be is an error of the store, not a crash."""
    for scrap in ("-wal", "-shm"):
        (live.folder / ".shipway" / f"metadata.sqlite3{scrap}").unlink(missing_ok=True)
    (live.folder / ".shipway" / "metadata.sqlite3").write_bytes(b"no database " * 500)
    for words in (("versions",), ("gate",), ("status",)):
        error = refusal_of(live, *words, code=4)
        assert error["code"] == "store.failed"


def test_a_store_that_is_a_file_is_told(project: Project) -> None:
    """SHIPWAY_HOME may name anything; a file is not a store."""
    (project.folder / "home").write_text("mine")
    done = project.call("versions", environ={"SHIPWAY_HOME": "home"})
    assert done.code == 4, done.said
    assert "Next: " in done.err
    assert (project.folder / "home").read_text() == "mine"


def test_an_open_address_without_authentication_is_refused(live: Project) -> None:
    """Nobody serves the world without keys by mistake."""
    for host in ("serve.host", "serve.control_host"):
        words = ("serve", "--set", f"{host}=0.0.0.0", "--set", "serve.authentication=false")
        refusal_of(live, *words, says=("0.0.0.0", "authentication", host))


def test_serving_nothing_is_refused(project: Project) -> None:
    """Without a live version the commands that make one are named."""
    project.json("versions")
    refusal_of(project, "serve", says=("shipway promote",))


def test_no_version_without_a_passed_gate_goes_live(project: Project) -> None:
    """Promote names the gate; --force needs a reason; nothing is live afterwards."""
    project.json("pack", "model.joblib", "--trust-pickle")
    error = refusal_of(project, "promote", code=1, says=("shipway gate", "churn@1"))
    assert error["code"] == "gate.refused"
    refusal_of(project, "promote", "--force", says=("--reason",))
    assert project.json("status")["live"] is None
    project.json("promote", "--force", "--reason", "a test")
    assert project.json("status")["live"] == 1


def test_rollback_with_nothing_before_is_refused(live: Project) -> None:
    """The first version has nothing before it."""
    error = refusal_of(live, "rollback", says=("churn",))
    assert error["code"] == "registry.not-found"


def test_rollback_of_what_was_never_live_is_refused(project: Project) -> None:
    """An endpoint that nothing was ever live on is named."""
    project.json("versions")
    error = refusal_of(project, "rollback", says=("churn",))
    assert error["code"] == "registry.not-found"


@pytest.mark.parametrize("version", ["7", "churn@7", "other@1", "0", "one", "churn@", "@1"])
def test_a_version_that_is_none_is_refused(live: Project, version: str) -> None:
    """Every command that takes a version says which there are."""
    for words in (
        ("promote",),
        ("gate",),
        ("rollback", "--to"),
        ("card",),
        ("edge", "bundle", "--version"),
        ("score", "test.parquet", "scores.parquet", "--version"),
    ):
        refusal_of(live, *words, version)


def test_version_after_a_command_is_not_the_version_of_shipway(live: Project) -> None:
    """`gate --version 1` must not end like a passed gate."""
    for words in (("gate", "--version", "1"), ("gate", "--version"), ("check", "--version")):
        refusal_of(live, *words)
    assert live.call("--version").code == 0


@pytest.mark.parametrize("name", ["Churn", "a b", "../up", "con", "", "x" * 200, "na\u00efve"])
def test_a_name_that_is_not_allowed_is_refused(project: Project, name: str) -> None:
    """Names of models and endpoints go into paths and addresses, so they follow one rule."""
    words = ("init", "--data", "train.parquet", "--force", "--name", name)
    refusal_of(project, *words)
    refusal_of(project, "promote", "--endpoint", name)


def test_mistakes_on_the_command_line_are_told(live: Project) -> None:
    """Unknown commands, options and values: what was meant, and where the help is."""
    for words in (
        ("gat",),
        ("gate", "--sed", "3"),
        ("gate", "--seed", "x"),
        ("gate", "--seed", "-3"),
        ("score", "test.parquet"),
        ("contract",),
        ("contract", "inferr"),
        ("monitor", "--since", "yesterday"),
        ("monitor", "--window", "decade"),
        ("keys", "create", "--scope", "everything"),
        ("keys", "create", "--days", "0"),
        ("keys", "revoke", "nobody"),
        ("ci", "init", "gitlab", "--model", "model.joblib"),
        ("init", "--data", "train.parquet"),
        ("init",),
        ("contract", "infer"),
        ("check", "--set", "serve.port"),
        ("score", "test.parquet", "test.parquet"),
        ("score", "test.parquet", "nowhere/scores.parquet"),
    ):
        if words == ("contract",):
            continue
        refusal_of(live, *words)


def test_every_error_is_one_document_on_stdout_and_nothing_on_stderr(live: Project) -> None:
    """Under --json a program reads stdout alone."""
    done = live.run("gate", "nowhere", "--json")
    assert done.returncode == 2
    assert set(json.loads(done.stdout)["error"]) == {
        "code",
        "message",
        "next_step",
        "exit_code",
        "problems",
    }
    assert done.stderr == ""
