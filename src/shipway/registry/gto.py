"""Versions and endpoints as annotated git tags in the form of GTO, and a history read back.

``name@v3`` registers version 3 and ``name#endpoint#2`` says that change 2 of the endpoint made
the tagged commit live there, so that everybody with the repository sees what is in production.
The registry is the truth and the tags are a copy for git: one that is there is left as it is.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from shipway.domain.times import from_iso, iso
from shipway.errors import EnvironmentFailure, UsageError
from shipway.registry.lineage import SAFE_SETTINGS
from shipway.registry.records import EndpointChange, Version

_REGISTERED = re.compile(r"(?P<name>.+)@v(?P<version>[0-9]+(?:\.[0-9]+\.[0-9]+\S*)?)")
_ASSIGNED = re.compile(r"(?P<name>[^#]+)#(?P<endpoint>[^#!]+)#(?P<count>[0-9]+)")
_NOT_IN_GIT = re.compile(r"\.\.|\.lock$|\.$|@\{")
_FIELDS = "%00".join(
    f"%({field})"
    for field in (
        "refname:strip=2",
        "*objectname",
        "taggername",
        "taggeremail:trim",
        "taggerdate:iso-strict",
        "contents:subject",
    )
)
_TIMEOUT_S = 30.0


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag to be written: on which commit, by whom, when, with which words."""

    name: str
    commit: str
    by: str
    at: datetime
    message: str


class TagEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that was read: ``event`` is ``registration`` or ``assignment``, as GTO calls them.

    An assignment's ``version`` is that of the newest registration on its commit, "" if none is.
    """

    at: datetime
    event: str
    artifact: str
    version: str
    stage: str
    commit: str
    author: str
    author_email: str
    message: str
    ref: str


def registration(version: Version) -> Tag | None:
    """The tag that registers *version*; None if no commit was recorded of it."""
    code = version.manifest.lineage.code
    if code is None or not code.commit:
        return None
    return Tag(
        name=_ref(f"{version.model}@v{version.number}"),
        commit=code.commit,
        by=version.created_by,
        at=version.created_at,
        message=f"Registering artifact {version.model} version v{version.number}",
    )


def assignment(change: EndpointChange, version: Version) -> Tag | None:
    """The tag that says that *change* made *version* live; None if no commit was recorded."""
    code = version.manifest.lineage.code
    if code is None or not code.commit:
        return None
    words = f"Promoting {change.model} version v{version.number} to stage {change.endpoint}"
    return Tag(
        name=_ref(f"{change.model}#{change.endpoint}#{change.sequence}"),
        commit=code.commit,
        by=change.by,
        at=change.at,
        message=f"{words}\n\n{change.reason}".strip(),
    )


def write_tags(folder: Path, tags: Sequence[Tag], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Write those of *tags* that the repository of *folder* has not; their names.

    Raises :class:`~shipway.errors.EnvironmentFailure` with git's words, for a commit that it has
    not for example; the tags before that one are written.
    """
    there = set(_git(folder, environ, "tag", "--list").split("\n"))
    written = []
    for tag in tags:
        if tag.name in there:
            continue
        named = {"GIT_COMMITTER_NAME": tag.by, "GIT_COMMITTER_EMAIL": f"{_local(tag.by)}@shipway"}
        dated = {**environ, **named, "GIT_COMMITTER_DATE": iso(tag.at)}
        words = ("tag", "--annotate", "--no-sign", "--message", tag.message, tag.name, tag.commit)
        _git(folder, dated, *words)
        written.append(tag.name)
    return tuple(written)


def read_tags(folder: Path, environ: Mapping[str, str]) -> tuple[TagEvent, ...]:
    """Every registration and assignment in the repository of *folder*, the newest first."""
    out = _git(folder, environ, "for-each-ref", f"--format={_FIELDS}", "refs/tags")
    events = [_event(line.split("\0")) for line in out.split("\n") if line.count("\0") == 5]
    found = [event for event in events if event is not None]
    registered: dict[tuple[str, str], TagEvent] = {}
    for event in sorted(found, key=lambda one: one.at):
        if event.event == "registration":
            registered[event.artifact, event.commit] = event
    named = (
        event
        if event.event == "registration" or (event.artifact, event.commit) not in registered
        else msgspec.structs.replace(
            event, version=registered[event.artifact, event.commit].version
        )
        for event in found
    )
    newest = sorted(named, key=lambda one: (one.at, one.event == "assignment"), reverse=True)
    return tuple(newest)


def _event(fields: Sequence[str]) -> TagEvent | None:
    ref, commit, author, email, at, message = fields
    assigned = _ASSIGNED.fullmatch(ref)
    registered = None if assigned else _REGISTERED.fullmatch(ref)
    match = assigned or registered
    if match is None or not commit:  # of another form, or not annotated
        return None
    return TagEvent(
        at=from_iso(at),
        event="assignment" if assigned else "registration",
        artifact=match["name"],
        version="" if assigned else f"v{match['version']}",
        stage=match["endpoint"] if assigned else "",
        commit=commit,
        author=author,
        author_email=email,
        message=message,
        ref=ref,
    )


def _ref(name: str) -> str:
    if _NOT_IN_GIT.search(name):
        raise UsageError(
            f"{name!r} cannot be the name of a git tag",
            next_step="give the model or the endpoint a name without '..' and '.lock'",
        )
    return name


def _local(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name) or "somebody"


def _git(folder: Path, environ: Mapping[str, str], *words: str) -> str:
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_COMMITTER_")
    }
    try:
        done = subprocess.run(
            ["git", *SAFE_SETTINGS, "-C", str(folder), "--no-pager", *words],
            env={**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFailure(
            f"git cannot be run: {error}", next_step="install git, or leave git.tags off"
        ) from error
    if done.returncode != 0:
        raise EnvironmentFailure(
            f"git says: {os.fsdecode(done.stderr).strip()}",
            next_step="fetch what is missing, or make the project's folder a git repository",
        )
    return os.fsdecode(done.stdout).rstrip("\n")
