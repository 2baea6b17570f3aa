"""The audit log of a store, as a test reads and checks it."""

from __future__ import annotations

from pathlib import Path

from shipway.registry.trail_files import read_lines, read_tombstone
from shipway.security.audit import CHECKPOINT, Head, Line, read_line
from shipway.security.audit_check import Checked, Checker
from shipway.security.audit_keys import has_signed, public_key


def log_lines(home: Path) -> list[Line]:
    """What the log of the store in *home* tells, without its checkpoints."""
    lines = (read_line(data) for _, data in read_lines(home / "audit"))
    return [line for line in lines if line.what != CHECKPOINT]


def checked(folder: Path, head: Head) -> Checked:
    """What a check of the log in *folder* finds, given what the records know of its end."""
    return Checker(
        signer=public_key(folder),
        signed=has_signed,
        tombstone=read_tombstone(folder),
        head=head,
    ).check(read_lines(folder))
