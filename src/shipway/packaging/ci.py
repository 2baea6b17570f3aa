"""A workflow for continuous integration: check, validate, pack and gate at every change.

It may read the repository and nothing more, runs only actions that are pinned by commit, and
installs only what is locked by digest. Values of the project reach its scripts through the
environment, never through the text of a script.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from shipway.durable import SHARED, replace_file, storing
from shipway.errors import ConflictError, UsageError
from shipway.packaging.rendering import render

WORKFLOW_PATH = ".github/workflows/shipway.yml"

CHECKOUT = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2"
SETUP_PYTHON = "actions/setup-python@e797f83bcb11b83ae66e0230d6156d7c80228e7c # v6.0.0"

_PATH = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_. /-]{0,199}", re.ASCII)
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}", re.ASCII)
_PYTHON = re.compile(r"3\.[0-9]{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """What a workflow is made for; paths are relative to the folder of ``shipway.toml``."""

    model: str
    table: str
    requirements: str = "requirements.txt"
    python: str = "3.11"
    branch: str = "main"
    trust_pickle: bool = False
    timeout_minutes: int = 30


@dataclass(frozen=True, slots=True)
class WrittenWorkflow:
    """Where the workflow is, and what still has to be done for it to pass."""

    path: Path
    text: str
    notes: tuple[str, ...]


def github_workflow(workflow: Workflow) -> str:
    """The text of the GitHub workflow for *workflow*.

    Raises :class:`~shipway.errors.UsageError` for a path, branch or Python version with a
    character that a workflow could take for something else.
    """
    for what, path in (
        ("model file", workflow.model),
        ("table", workflow.table),
        ("requirements file", workflow.requirements),
    ):
        _check(what, path, _PATH)
        if ".." in path.split("/"):
            raise _refused(what, path)
    _check("branch", workflow.branch, _BRANCH)
    _check("Python version", workflow.python, _PYTHON)
    return render(
        "shipway.yml.j2",
        branch=json.dumps(workflow.branch),
        checkout=CHECKOUT,
        model=json.dumps(workflow.model),
        pack_flags=" --trust-pickle" if workflow.trust_pickle else "",
        python=json.dumps(workflow.python),
        requirements=json.dumps(workflow.requirements),
        setup_python=SETUP_PYTHON,
        table=json.dumps(workflow.table),
        timeout_minutes=int(workflow.timeout_minutes),
    )


def write_github_workflow(
    folder: Path, workflow: Workflow, *, force: bool = False, dry_run: bool = False
) -> WrittenWorkflow:
    """Write the workflow into the repository at *folder*.

    Raises :class:`~shipway.errors.ConflictError` when there is another one and *force* is not
    given.
    """
    text = github_workflow(workflow)
    path = folder / WORKFLOW_PATH
    written = WrittenWorkflow(path, text, _notes(folder, workflow))
    if path.exists() and not force and path.read_text(encoding="utf-8") != text:
        raise ConflictError(
            f"{WORKFLOW_PATH} is there already and differs",
            next_step="keep it, or replace it with `shipway ci init github --force`",
        )
    if not dry_run:
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode(), mode=SHARED)
    return written


def _check(what: str, value: str, allowed: re.Pattern[str]) -> None:
    if not allowed.fullmatch(value):
        raise _refused(what, value)


def _refused(what: str, value: str) -> UsageError:
    return UsageError(
        f"{value[:200]!r} cannot stand in a workflow as the {what}",
        next_step="use a plain value of letters, digits, '.', '_', '-' and '/', relative to "
        "the folder of shipway.toml",
    )


def _notes(folder: Path, workflow: Workflow) -> tuple[str, ...]:
    """What the workflow needs and the folder does not have yet."""
    notes = [
        f"{path} is not there yet; the workflow needs it in the repository"
        for path in (workflow.model, workflow.table)
        if not (folder / path).is_file()
    ]
    lock = folder / workflow.requirements
    if not lock.is_file() or "--hash=" not in lock.read_text(encoding="utf-8", errors="replace"):
        notes.append(
            f"{workflow.requirements} must lock every package with its digest: make it with "
            f"`uv pip compile --generate-hashes` or `pip-compile --generate-hashes`"
        )
    return tuple(notes)
