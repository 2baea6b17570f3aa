"""``shipway predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.api.predict import Predictions

_ROWS_SHOWN = 20


def predict(
    rows: Annotated[
        str | None,
        Parameter(help="A table, or a row as JSON text; JSON from standard input by default."),
    ] = None,
    /,
    *,
    url: Annotated[
        str | None, Parameter(help="The server; the one on this project's store by default.")
    ] = None,
    key: Annotated[str | None, Parameter(help="The API key; SHIPWAY_KEY by default.")] = None,
    options: Options = NO_OPTIONS,
) -> Result:
    """Ask a running server about the rows of a table, or about one row.

    Columns that the contract does not ask for stay at home. The prediction ids of the answer
    are what `shipway labels add` later needs.
    """
    from shipway.api.predict import predict as ask

    asked = _rows(rows)
    with options.open() as project:
        answered = ask(project, asked, url=url, key=key, progress=options.output().progress)
    return Result(
        document=answered,
        show=lambda output: _show(answered, output),
        next_step="shipway labels add TABLE, once the outcomes are known",
    )


def _rows(given: str | None) -> Path | str:
    """The path of a table, or JSON text."""
    if given is None:
        if sys.stdin.isatty():
            raise UsageError(
                "there are no rows to ask about", next_step="shipway predict TABLE, or JSON text"
            )
        return sys.stdin.read()
    return given if given.lstrip().startswith(("{", "[")) else Path(given)


def _show(answered: Predictions, output: Output) -> None:
    columns = list(answered.outputs)
    rows = zip(*answered.outputs.values(), strict=True)
    shown = [row for row, _ in zip(rows, range(_ROWS_SHOWN), strict=False)]
    by = ", ".join(answered.versions)
    title = f"{answered.rows:,} predictions of {answered.model} version {by}"
    output.table(columns, shown, title=title)
    if answered.rows > len(shown):
        output.line(f"and {answered.rows - len(shown):,} more (all with --json)")
