"""``shipway versions diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import number

if TYPE_CHECKING:
    from shipway.api.diff import VersionDiff


def diff(
    left: Annotated[str, Parameter(help="A version: 3, or latest.")],
    right: Annotated[str, Parameter(help="The version to compare it with.")],
    /,
    *,
    options: Options = NO_OPTIONS,
) -> Result:
    """Show in what two versions differ: metrics, data, features, objectives, packages, code."""
    from shipway.api.diff import diff as compare

    with options.open() as project:
        compared = compare(project, left, right)
    return Result(
        document=compared,
        show=lambda output: _show(compared, output),
        next_step="shipway versions --history",
    )


def _show(compared: VersionDiff, output: Output) -> None:
    if not compared.differences:
        output.line("They do not differ.")
        return
    output.table(
        ["Section", "What", f"Version {compared.left}", f"Version {compared.right}"],
        [
            (one.section, one.name, _cell(one.left), _cell(one.right))
            for one in compared.differences
        ],
        title=f"{compared.model}: {compared.left} against {compared.right}",
    )
    if compared.patch:
        output.line("The uncommitted changes differ:")
        output.line(compared.patch)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return number(value)
    text = str(value)
    return text[:19] if text.startswith("sha256:") else text
