"""``shipway init``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.domain.metrics import Task
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.api.init import Initialised

TaskName = Literal["binary-classification", "multiclass-classification", "regression"]
"""A task as shipway.toml calls it."""


def init(
    *,
    data: Annotated[Path | None, Parameter(help="The training table: a file or a folder.")] = None,
    test: Annotated[
        Path | None, Parameter(help="A later table with known outcomes, for the gate.")
    ] = None,
    name: Annotated[str | None, Parameter(help="The model's name; the folder's by default.")] = (
        None
    ),
    target: Annotated[str | None, Parameter(help="The column to predict; guessed.")] = None,
    task: Annotated[TaskName | None, Parameter(help="What is predicted; guessed.")] = None,
    time: Annotated[
        str | None, Parameter(help="The column that says when a row's event happens; guessed.")
    ] = None,
    id: Annotated[str | None, Parameter(help="The column that names a row; guessed.")] = None,  # noqa: A002
    positive: Annotated[
        str | None, Parameter(help="The class that a binary model looks for.")
    ] = None,
    decision: Annotated[
        str, Parameter(help="What is done with a prediction, in one sentence.")
    ] = "",
    force: Annotated[bool, Parameter(help="Replace a shipway.toml that is there.")] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Write a first shipway.toml, guessed from the training table.

    In a terminal it asks for what no option says and nothing tells; elsewhere it never asks.
    """
    from shipway.api.init import Answers, initialise

    if data is None:
        data, target, decision = _ask(options, target, decision)
    made = initialise(
        options.project,
        data=data,
        test=test,
        answers=Answers(
            name=name,
            task=None if task is None else Task(task),
            target=target,
            time=time,
            id=id,
            positive=positive,
            decision=decision,
        ),
        force=force,
        dry_run=dry_run,
    )
    return Result(
        document=made, show=lambda output: _show(made, output), next_step="shipway contract infer"
    )


def _ask(options: Options, target: str | None, decision: str) -> tuple[Path, str | None, str]:
    """The training table, the target and the decision, from the person at the terminal."""
    refusal = UsageError(
        "which table did the model learn from?", next_step="shipway init --data TABLE"
    )
    if options.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise refusal
    try:
        import questionary
    except ModuleNotFoundError:
        raise refusal from None
    path = questionary.path("The training table (parquet, Arrow, CSV or JSON lines):").unsafe_ask()
    if not path:
        raise refusal
    if target is None:
        target = questionary.text("The column to predict (empty: guess):").unsafe_ask() or None
    if not decision:
        decision = questionary.text("What is done with a prediction? (one sentence)").unsafe_ask()
    return Path(path).expanduser(), target, decision


def _show(made: Initialised, output: Output) -> None:
    if not made.written:
        output.line(made.text)
    for guess in made.guesses:
        output.line(f"Guessed: {guess}")
    for warning in made.warnings:
        output.warn(warning)
    verb = "Wrote" if made.written else "Would write"
    output.line(f"{verb} {made.path}: correct what was guessed wrongly")
