"""The workflow has the least rights, pinned actions, and no way in for a hostile value."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shipway.errors import ConflictError, UsageError
from shipway.packaging.ci import WORKFLOW_PATH, Workflow, github_workflow, write_github_workflow

PLAIN = Workflow(model="model.joblib", table="data/test.parquet")


def parsed(workflow: Workflow) -> dict[Any, Any]:
    loaded = yaml.safe_load(github_workflow(workflow))
    assert isinstance(loaded, dict)
    return loaded


def test_workflow_is_valid_and_least_privileged() -> None:
    """It may read the contents and nothing else, ends in time, and cancels what is outdated."""
    workflow = parsed(PLAIN)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] == 30
    assert "permissions" not in job
    assert "secrets" not in github_workflow(PLAIN)


def test_actions_are_pinned_by_commit() -> None:
    """Every action is named by a full commit, so that a moved tag changes nothing."""
    (job,) = parsed(PLAIN)["jobs"].values()
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert len(used) == 2
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)


def test_steps_come_in_order() -> None:
    """It installs with digests, then checks, validates, packs and gates."""
    (job,) = parsed(PLAIN)["jobs"].values()
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    wanted = ["--require-hashes", "shipway check", "contract validate", "pack", "gate"]
    assert all(word in script for word, script in zip(wanted, scripts, strict=True))
    assert "--trust-pickle" not in github_workflow(PLAIN)
    trusting = Workflow(model="m.joblib", table="t.csv", trust_pickle=True)
    assert "--trust-pickle" in github_workflow(trusting)


def test_values_reach_scripts_by_environment() -> None:
    """No script contains a value of the project or an expression of GitHub's."""
    (job,) = parsed(Workflow(model="my model.joblib", table="data/t.csv"))["jobs"].values()
    assert job["env"]["SHIPWAY_CI_MODEL"] == "my model.joblib"
    for step in job["steps"]:
        script = step.get("run", "")
        assert "my model" not in script
        assert "${{" not in script


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4])
def test_gate_step_explains_its_exit_code(tmp_path: Path, code: int) -> None:
    """The gate's own exit code ends the step, and the summary says what it means."""
    bash = shutil.which("bash")
    assert bash is not None
    (job,) = parsed(PLAIN)["jobs"].values()
    script = job["steps"][-1]["run"]
    fake = tmp_path / "python"
    fake.write_text(f"#!{bash}\necho 'roc_auc 0.7'\nexit {code}\n")
    fake.chmod(0o755)
    summary = tmp_path / "summary.md"
    done = subprocess.run(
        [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_STEP_SUMMARY": str(summary)},
        check=False,
    )
    verdict = {0: "pass", 1: "fail (exit 1)", 3: "undecided (exit 3)"}.get(code, "not run")
    assert done.returncode == code
    assert f"### Gate: {verdict}" in summary.read_text()
    assert "    roc_auc 0.7" in summary.read_text()


@pytest.mark.parametrize(
    "value",
    [
        "${{ github.token }}",
        "a\nb",
        'a"b',
        "a'b",
        "$(id)",
        "`id`",
        "-x",
        "../x",
        "/etc/x",
        "",
        "a;b",
    ],
)
def test_hostile_values_refused(value: str) -> None:
    """A path or branch that a workflow could take for something else is refused."""
    with pytest.raises(UsageError):
        github_workflow(Workflow(model=value, table="t.csv"))
    with pytest.raises(UsageError):
        github_workflow(Workflow(model="m", table=value))
    with pytest.raises(UsageError):
        github_workflow(Workflow(model="m", table="t", requirements=value))
    with pytest.raises(UsageError):
        github_workflow(Workflow(model="m", table="t", python=value))


def test_another_workflow_is_kept(tmp_path: Path) -> None:
    """A workflow that somebody changed is replaced only by force; the same one is no conflict."""
    first = write_github_workflow(tmp_path, PLAIN)
    assert first.path == tmp_path / WORKFLOW_PATH
    write_github_workflow(tmp_path, PLAIN)
    first.path.write_text("name: mine\n")
    with pytest.raises(ConflictError, match="differs"):
        write_github_workflow(tmp_path, PLAIN)
    assert first.path.read_text() == "name: mine\n"
    write_github_workflow(tmp_path, PLAIN, force=True)
    assert first.path.read_text() == first.text


def test_notes_say_what_is_missing(tmp_path: Path) -> None:
    """What the workflow still lacks is said at once; a dry run writes nothing."""
    written = write_github_workflow(tmp_path, PLAIN, dry_run=True)
    assert len(written.notes) == 3
    assert "--generate-hashes" in written.notes[-1]
    assert not list(tmp_path.iterdir())
