"""``shipway audit``: show, verify, expire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from shipway.cli.options import NO_OPTIONS, Options, moment_of
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment

if TYPE_CHECKING:
    from shipway.api.audit import AuditLines, AuditVerdict
    from shipway.security.audit import Line

app = App(
    name="audit",
    help="Show who did what and what was refused, and check that the log may be believed.",
    help_prologue="Example: shipway audit show --outcome refused",
)


@app.default
@app.command(help_prologue='Example: shipway audit show --what "endpoint.*" --since 2013-04-01')
def show(
    *,
    what: Annotated[str, Parameter(help="What was done, as in endpoint.promote or key.*.")] = "",
    who: Annotated[str, Parameter(help="By whom, as in user:anna or jwt:*.")] = "",
    on: Annotated[str, Parameter(help="To what, as in flight-delay@3.")] = "",
    outcome: Annotated[str, Parameter(help="How it ended: done, refused or failed.")] = "",
    since: Annotated[str | None, Parameter(help="From this day or moment on.")] = None,
    until: Annotated[str | None, Parameter(help="Before this day or moment.")] = None,
    most: Annotated[
        int, Parameter(help="The most lines, of which the newest.", validator=Number(gte=1))
    ] = 50,
    options: Options = NO_OPTIONS,
) -> Result:
    """Show the lines of the audit log, the newest last."""
    from shipway.api.audit import AuditFilter, audit_lines

    wanted = AuditFilter(
        what=what,
        who=who,
        object=on,
        outcome=outcome,
        since=moment_of(since, "--since"),
        until=moment_of(until, "--until"),
    )
    with options.open() as project:
        found = audit_lines(project, wanted, most=most)
    return Result(
        document=found,
        show=lambda output: _show(found, output),
        next_step="shipway audit verify",
    )


@app.command(help_prologue="Example: shipway audit verify")
def verify(
    *,
    signer: Annotated[
        str, Parameter(help="The public key of the log, as it was noted elsewhere (hex).")
    ] = "",
    options: Options = NO_OPTIONS,
) -> Result:
    """Check that no line was altered, removed, moved or cut off; ends with 1 if one was."""
    from shipway.api.audit import verify_audit

    with options.open() as project:
        verdict = verify_audit(project, signer=signer)
    return Result(
        document=verdict,
        show=lambda output: _show_verdict(verdict, output),
        next_step="" if verdict.ok else "restore the log from a backup, and find out who wrote",
        exit_code=0 if verdict.ok else 1,
    )


@app.command(help_prologue="Example: shipway audit expire")
def expire(*, options: Options = NO_OPTIONS) -> Result:
    """Let go of lines older than store.audit_days; a signed tombstone stands for them."""
    from shipway.api.audit import expire_audit

    with options.open() as project:
        gone = expire_audit(project)
    return Result(
        document={"expired": gone},
        show=lambda output: output.line(f"{gone:,} lines were old enough and are gone"),
        next_step="shipway audit verify",
    )


def _show(found: AuditLines, output: Output) -> None:
    output.table(
        ["#", "At (UTC)", "Who", "From", "What", "On", "Outcome", "Times", "Detail"],
        [
            (
                line.seq,
                moment(line.time),
                line.who,
                line.source,
                line.what,
                line.object,
                f"{line.outcome} ({line.code})" if line.code else line.outcome,
                line.count,
                _detail(line),
            )
            for line in found.lines
        ],
        title="Audit log",
        right=["#", "Times"],
    )
    if found.left_out:
        output.say(f"{found.left_out:,} lines before these are not shown")


def _detail(line: Line) -> str:
    """What belongs to it; when it was done is hardly another moment than when it was written."""
    return ", ".join(f"{name}={value}" for name, value in line.detail.items() if name != "at")


def _show_verdict(verdict: AuditVerdict, output: Output) -> None:
    for problem in verdict.problems:
        output.line(str(problem), style="red")
    if verdict.tombstone is not None:
        output.line(f"Lines up to {verdict.tombstone.seq:,} were let go when they were old enough")
    held = f"{verdict.checkpoints:,} signed checkpoints" if verdict.signer else "no signatures"
    if verdict.ok:
        output.line(f"{verdict.lines:,} lines hang together, with {held}", style="green")
    if verdict.signer:
        output.line(f"The public key of the log: {verdict.signer}")
