"""``shipway versions``: the list, and the family of questions about versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, validators

from shipway.cli.answered import answered
from shipway.cli.delete import delete
from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.cli.reproduce import reproduce
from shipway.cli.tag import tag
from shipway.cli.version_diff import diff
from shipway.cli.visible import moment, size
from shipway.cli.where_used import where_used

if TYPE_CHECKING:
    from shipway.api.history import History
    from shipway.api.versions import VersionList


_SHOWN = 50

app = App(
    name="versions",
    help="List the versions, their verdicts, and who put which live when.",
    help_prologue="Example: shipway versions --history",
)
app.command(diff, help_prologue="Example: shipway versions diff 1 2")
app.command(
    where_used,
    name="where-used",
    help_prologue="Example: shipway versions where-used data/train.parquet",
)
app.command(answered, help_prologue="Example: shipway versions answered booking-4711:0")
app.command(reproduce, help_prologue="Example: shipway versions reproduce 2")
app.command(tag, help_prologue="Example: shipway versions tag --dry-run")
app.command(
    delete, help_prologue='Example: shipway versions delete 3 --reason "trained on the wrong table"'
)


@app.default
def versions(
    *,
    history: Annotated[
        bool, Parameter(help="All that ever happened to them, in order, deletions too.")
    ] = False,
    limit: Annotated[
        int | None,
        Parameter(
            validator=validators.Number(gte=1),
            help="The newest so many; by default 50 in a table, and all with --json.",
        ),
    ] = None,
    before: Annotated[
        int | None, Parameter(help="Only versions with a number below this one.")
    ] = None,
    options: Options = NO_OPTIONS,
) -> Result:
    """List the versions, their verdicts, and who put which live when."""
    from shipway.api.history import history as tell
    from shipway.api.versions import list_versions

    with options.open() as project:
        if history:
            told = tell(project)
            return Result(
                document=told,
                show=lambda output: _show_history(told, output),
                next_step="shipway versions diff LEFT RIGHT",
            )
        listed = list_versions(project, before=before, most=limit)
    return Result(
        document=listed,
        show=lambda output: _show(listed, output, limit or _SHOWN),
        next_step=_next_step(listed),
    )


def _show_history(told: History, output: Output) -> None:
    output.table(
        ["At (UTC)", "What", "Version", "Endpoint", "By", "Evidence", "Verdict", "Reason"],
        [
            (
                moment(one.at),
                f"{one.what} (forced)" if one.forced else one.what,
                one.version,
                one.endpoint or "-",
                one.by or "-",
                "-" if one.evidence is None else one.evidence,
                one.verdict or "-",
                one.reason,
            )
            for one in told.happenings
        ],
        title=f"What happened to {told.model}",
        right=["Version"],
    )


def _next_step(listed: VersionList) -> str:
    if not listed.versions:
        return "shipway pack MODEL"
    newest = listed.versions[-1]
    if not newest.verdict:
        return f"shipway gate {newest.number}"
    taken_back = listed.history and listed.history[-1].action == "rollback"
    if newest.verdict == "pass" and not newest.live and not taken_back:
        return f"shipway promote {newest.number}"
    return "shipway serve" if listed.live is not None else "shipway gate"


def _show(listed: VersionList, output: Output, most: int) -> None:
    shown = listed.versions[-most:]
    left_out = listed.left_out + len(listed.versions) - len(shown)
    output.table(
        [
            "Version",
            "Live",
            "Verdict",
            "Format",
            "Size",
            "Published (UTC)",
            "By",
            "Commit",
            "Digest",
        ],
        [
            (
                version.number,
                "live" if version.live else "",
                version.verdict or "-",
                version.format,
                size(version.size_bytes),
                moment(version.created_at),
                version.created_by,
                version.commit[:10] or "-",
                version.digest[:19],
            )
            for version in shown
        ],
        title=f"Versions of {listed.model}",
        right=["Version", "Size"],
    )
    if left_out and shown:
        older = f"shipway versions --before {shown[0].number}"
        output.line(f"{left_out:,} more are not shown; older ones: {older}")
    if not listed.history:
        return
    output.table(
        ["#", "At (UTC)", "Action", "Before", "Live", "By", "Evidence", "Reason"],
        [
            (
                change.sequence,
                moment(change.at),
                f"{change.action} (forced)" if change.forced else change.action,
                "-" if change.before is None else change.before,
                change.live,
                change.by,
                "-" if change.evidence is None else change.evidence,
                change.reason,
            )
            for change in listed.history
        ],
        title="Who put which live",
        right=["#"],
    )
