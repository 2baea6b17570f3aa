"""``shipway versions``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment, size

if TYPE_CHECKING:
    from shipway.api.versions import VersionList


def versions(*, options: Options = NO_OPTIONS) -> Result:
    """List the versions, their verdicts, and who put which live when."""
    from shipway.api.versions import list_versions

    with options.open() as project:
        listed = list_versions(project)
    return Result(
        document=listed, show=lambda output: _show(listed, output), next_step=_next_step(listed)
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


def _show(listed: VersionList, output: Output) -> None:
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
            for version in listed.versions
        ],
        title=f"Versions of {listed.model}",
        right=["Version", "Size"],
    )
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
