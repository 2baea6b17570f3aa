"""``shipway contract``: infer, validate, diff, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from shipway.cli.failures import FAILED, PASSED, WRONG_INPUT
from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import number

if TYPE_CHECKING:
    from shipway.api.contract import ContractDiff
    from shipway.batch.validate import TableReport
    from shipway.contract.schema import Column, Contract

_VIOLATIONS_SHOWN = 20

app = App(
    name="contract",
    help="Infer what the data promises, show and compare it, or hold a table against it.",
    help_prologue="Example: shipway contract infer",
)


@app.command(help_prologue="Example: shipway contract infer --data data/train.parquet")
def infer(
    *,
    data: Annotated[
        Path | None, Parameter(help="The table to learn from; data.train by default.")
    ] = None,
    personal: Annotated[
        tuple[str, ...],
        Parameter(
            help="NAME=drop, NAME=hash or NAME=encrypt: a column of which nothing else is written;"
            " may be repeated."
        ),
    ] = (),
    force: Annotated[bool, Parameter(help="Replace a contract.yaml that is there.")] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Infer contract.yaml from the training table.

    Types, ranges, categories and shares of missing values become the promise that every later
    table and request is held against. Read it and correct it: it is yours.
    """
    from shipway.api.contract import infer_contract
    from shipway.contract.marking import read_marks

    with options.open() as project:
        inferred = infer_contract(
            project, data=data, personal=read_marks(personal), force=force, dry_run=dry_run
        )

    def show(output: Output) -> None:
        _show_contract(inferred.contract, output)
        verb = "Wrote" if inferred.written else "Would write"
        output.line(f"{verb} {inferred.path}")

    return Result(document=inferred, show=show, next_step="shipway check")


@app.command(help_prologue="Example: shipway contract validate data/new.parquet")
def validate(
    table: Annotated[Path, Parameter(help="The rows: a file, a folder, or a 'pattern'.")],
    /,
    *,
    good: Annotated[
        Path | None, Parameter(help="Where the rows go that keep it: .parquet, .csv, .jsonl ...")
    ] = None,
    bad: Annotated[
        Path | None, Parameter(help="Where the others go, with their reasons (CSV).")
    ] = None,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Hold a table against the contract: every violation with row, column and rule.

    The exit code is 2 when a row would be refused. Tables of any size are read in bounded memory.
    """
    from shipway.api.contract import validate as hold

    with options.open() as project:
        report = hold(
            project,
            table,
            good=None if dry_run else good,
            bad=None if dry_run else bad,
            progress=options.output().progress,
        )
    return Result(
        document=report,
        show=lambda output: _show_report(report, output),
        next_step="shipway gate" if report.ok else "mend the rows, or the promise in contract.yaml",
        exit_code=PASSED if report.ok else WRONG_INPUT,
    )


@app.command(help_prologue="Example: shipway contract diff latest contract.yaml")
def diff(
    old: Annotated[
        str | None, Parameter(help="A file or a version; what is live by default.")
    ] = None,
    new: Annotated[
        str | None, Parameter(help="A file or a version; contract.yaml by default.")
    ] = None,
    /,
    *,
    options: Options = NO_OPTIONS,
) -> Result:
    """Show what changes between two contracts, and whom it breaks.

    The exit code is 1 when a request that the old one answers may be refused by the new one.
    """
    from shipway.api.contract import diff_contracts

    with options.open() as project:
        found = diff_contracts(project, old, new)
    return Result(
        document=found,
        show=lambda output: _show_diff(found, output),
        next_step="shipway pack" if found.compatible else "tell those who call, or mend the change",
        exit_code=PASSED if found.compatible else FAILED,
    )


@app.command(help_prologue="Example: shipway contract show")
def show(*, options: Options = NO_OPTIONS) -> Result:
    """Show the contract of the project."""
    with options.open() as project:
        contract = project.contract
    return Result(
        document=contract,
        show=lambda output: _show_contract(contract, output),
        next_step="shipway check",
    )


def _show_contract(contract: Contract, output: Output) -> None:
    output.table(
        ["Column", "Role", "Kind", "Missing", "Allowed"],
        [
            (
                column.name,
                column.role,
                column.kind,
                f"{column.null_rate:.1%}" if column.nullable else "never",
                _allowed(column),
            )
            for column in contract.columns
        ],
        title=f"{contract.model}: {contract.task}, from {contract.rows:,} rows",
        right=["Missing"],
    )


def _allowed(column: Column) -> str:
    if column.categories is not None:
        return _few(column.categories)
    if column.minimum is None and column.maximum is None:
        return ""
    return f"{number(column.minimum)} to {number(column.maximum)}"


def _few(names: tuple[str, ...], most: int = 6) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _show_diff(found: ContractDiff, output: Output) -> None:
    if not found.changes:
        output.line(f"{found.old} and {found.new} promise the same.", style="green")
        return
    output.table(
        ["Column", "What", "Old", "New", "Breaks", "Why"],
        [
            (
                change.column or "-",
                change.what,
                _cell(change.old),
                _cell(change.new),
                ", ".join(change.breaks),
                change.why,
            )
            for change in found.changes
        ],
        title=f"{found.old} against {found.new}",
    )
    if found.compatible:
        output.line("Every request that was answered still is.", style="green")
    else:
        output.line("Requests that were answered may be refused.", style="red")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return _few(tuple(map(str, value)), most=3)
    return number(value) if isinstance(value, float) else str(value)


def _show_report(report: TableReport, output: Output) -> None:
    for violation in report.violations[:_VIOLATIONS_SHOWN]:
        output.line(f"Refused: {violation.problem()}", style="red")
    more = report.violations_total - _VIOLATIONS_SHOWN
    if more > 0:
        output.line(f"and {more:,} more")
    for code, count in report.warnings.items():
        output.line(f"Counted: {count:,} times {code}")
    for note in report.notes:
        output.line(f"Note: {note}")
    if report.ok:
        output.line(f"{report.table} keeps the contract.", style="green")
    if report.good is not None:
        output.line(f"Wrote {report.rows - report.bad_rows:,} good rows into {report.good}")
    if report.bad is not None:
        output.line(f"Wrote {report.bad_rows:,} bad rows, with their reasons, into {report.bad}")
