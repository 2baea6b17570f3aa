"""``audit``: what was done to a store and what was refused, and whether that may be believed."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

import msgspec

from shipway.bootstrap.project import Project
from shipway.errors import MissingPackage, Problem
from shipway.registry.current import AUDIT_FOLDER, METADATA_FILE
from shipway.registry.trail import CHAIN_FILE, Trail
from shipway.registry.trail_files import read_lines, read_tombstone
from shipway.security.audit import CHECKPOINT, Line, Tombstone, read_line
from shipway.security.audit_check import Checker
from shipway.security.audit_keys import can_sign, has_signed, public_key


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines are meant; what is empty or None leaves all in.

    ``what``, ``who`` and ``object`` may have ``*`` in them.
    """

    what: str = ""
    who: str = ""
    object: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, line: Line) -> bool:
        """Whether *line* is one of them."""
        return (
            all(
                not wanted or fnmatchcase(given, wanted)
                for wanted, given in (
                    (self.what, line.what),
                    (self.who, line.who),
                    (self.object, line.object),
                    (self.outcome, line.outcome),
                )
            )
            and (self.since is None or line.time >= self.since)
            and (self.until is None or line.time < self.until)
        )


class AuditLines(msgspec.Struct, frozen=True, kw_only=True):
    """The lines that were asked for, oldest first; ``left_out`` more were before them."""

    lines: tuple[Line, ...]
    left_out: int


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the log may be believed: it may where there are no ``problems``.

    ``signer`` is the public key that its checkpoints are of, "" where nothing signs;
    ``unsigned`` lines at the end are held by the records alone.
    """

    ok: bool
    lines: int
    first: int
    last: int
    checkpoints: int
    unsigned: int
    signer: str
    tombstone: Tombstone | None
    problems: tuple[Problem, ...]


def audit_lines(
    project: Project, wanted: AuditFilter | None = None, *, most: int = 50
) -> AuditLines:
    """The newest *most* lines that *wanted* takes, oldest first; checkpoints only if asked for."""
    wanted = wanted or AuditFilter()
    project.registry.trail.flush()
    kept: deque[Line] = deque(maxlen=most)
    found = 0
    for _, data in read_lines(project.home / AUDIT_FOLDER):
        try:
            line = read_line(data)
        except msgspec.DecodeError:
            continue  # verify says so; the others may be looked at all the same
        if line.what == CHECKPOINT and wanted.what != CHECKPOINT:
            continue
        if wanted.takes(line):
            found += 1
            kept.append(line)
    return AuditLines(lines=tuple(kept), left_out=found - len(kept))


def verify_audit(project: Project, *, signer: str = "") -> AuditVerdict:
    """Check every line of the log, its checkpoints, its tombstone and its end.

    *signer* is the public key that was noted elsewhere when the log began; by default the one
    that lies beside the log counts, which whoever could rewrite the log could have replaced.

    Raises :class:`~shipway.errors.MissingPackage` for a signed log where nothing checks signatures.
    """
    folder = project.home.absolute() / AUDIT_FOLDER
    project.registry.trail.flush()
    heads = {head.chain: head for head in project.registry.audit_heads()}
    signer = signer or public_key(folder)
    if signer and not can_sign():
        raise MissingPackage(
            "the package 'cryptography' is not installed and is needed to check signatures",
            next_step="pip install cryptography",
        )
    name = folder / CHAIN_FILE
    chain = name.read_text("ascii", errors="replace") if name.exists() else ""
    stone = read_tombstone(folder)
    checker = Checker(
        signer=signer, signed=has_signed, tombstone=stone, head=heads.pop(chain, None)
    )
    found = checker.check(read_lines(folder))
    if (project.home / METADATA_FILE).exists():  # records of this folder alone
        for head in heads.values():
            found.blame("removed", f"the log {head.chain}, of {head.seq} lines, is not there")
    return AuditVerdict(
        ok=not found.problems,
        lines=found.lines,
        first=found.first,
        last=found.last,
        checkpoints=found.checkpoints,
        unsigned=found.since_checkpoint,
        signer=signer,
        tombstone=stone,
        problems=tuple(found.problems),
    )


def expire_audit(project: Project) -> int:
    """Let go of lines older than ``store.audit_days``; how many that were."""
    trail = project.registry.trail
    if not isinstance(trail, Trail):
        return 0
    return trail.expire(project.clock() - timedelta(days=project.settings.store.audit_days))
