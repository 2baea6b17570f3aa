"""``shipway check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.failures import PASSED, WRONG_INPUT
from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result

if TYPE_CHECKING:
    from shipway.api.check import Checked


def check(*, options: Options = NO_OPTIONS) -> Result:
    """Check settings, contract and tables, and show where each setting comes from.

    The exit code is 2 when there is a problem, and every problem is listed.
    """
    from shipway.api.check import check as look

    with options.open() as project:
        checked = look(project)
    return Result(
        document=checked,
        show=lambda output: _show(checked, output),
        next_step="shipway pack MODEL" if checked.good else "mend the problems, shipway check",
        exit_code=PASSED if checked.good else WRONG_INPUT,
    )


def _show(checked: Checked, output: Output) -> None:
    output.table(
        ["Setting", "Value", "From"],
        [
            (
                setting.name,
                "-" if setting.value in (None, "", ()) else _value(setting.value),
                setting.origin if setting.line is None else f"line {setting.line} of the file",
            )
            for setting in checked.settings
        ],
    )
    for remark in checked.remarks:
        output.line(remark)
    for problem in checked.problems:
        output.line(f"Problem: {problem}", style="red")
    if checked.good:
        output.line("No problem found.", style="green")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
