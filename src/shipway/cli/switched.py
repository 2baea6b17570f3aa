"""What ``promote`` and ``rollback`` say of an endpoint's change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.failures import ENVIRONMENT, PASSED
from shipway.cli.output import Output, Result

if TYPE_CHECKING:
    from shipway.api.promote import Switched


def result_of(switched: Switched) -> Result:
    """The result of a change; it failed if a worker of a running server could not follow."""
    return Result(
        document=switched,
        show=lambda output: _show(switched, output),
        next_step=_next_step(switched),
        exit_code=ENVIRONMENT if switched.problems else PASSED,
    )


def _next_step(switched: Switched) -> str:
    if switched.problems:
        return "shipway status"
    return "shipway versions" if switched.workers else "shipway serve"


def _show(switched: Switched, output: Output) -> None:
    before = "nothing" if switched.before is None else f"version {switched.before}"
    would = "would answer" if switched.dry_run else "answers"
    how = ", against its verdict" if switched.forced else ""
    output.line(
        f"{switched.endpoint}: version {switched.live} {would} now (before: {before}){how}",
        style="yellow" if switched.forced else "green",
    )
    if switched.workers:
        output.line(f"{switched.workers} running workers follow")
    for problem in switched.problems:
        output.warn(problem)
