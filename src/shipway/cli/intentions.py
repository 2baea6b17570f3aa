"""What a command with ``--dry-run`` says that it would have written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shipway.cli.output import Output, Result

if TYPE_CHECKING:
    from shipway.api.project import Project


def would_write(project: Project, out: Path, version: str | None) -> Result:
    """That *out* would be made from *version* (the live one by default), which is looked up.

    Raises ``NotFoundError`` when there is no such version.
    """
    from shipway.api.score import version_or_live

    chosen = version_or_live(project, version)

    def show(output: Output) -> None:
        there = ", which is there already" if out.exists() else ""
        output.line(f"Would write {out}{there}, from {chosen.ref}")

    return Result(
        document={"out": str(out), "version": chosen.ref, "written": False},
        show=show,
        next_step="the same command without --dry-run",
    )
