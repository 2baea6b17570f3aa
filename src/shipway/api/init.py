"""``init``: a first ``shipway.toml`` guessed from the data, for a person to correct."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl

from shipway.config.settings import (
    FILE_NAME,
    DataSettings,
    ModelSettings,
    Settings,
)
from shipway.config.write import render_settings
from shipway.contract import guess
from shipway.contract.infer import infer
from shipway.contract.tables import read_table
from shipway.domain.metrics import Task
from shipway.domain.names import allowed_name, check_name
from shipway.domain.objectives import BaselineKind, Costs, Objective, Objectives, Reference
from shipway.durable import SHARED, replace_file, storing
from shipway.errors import DataError, UsageError


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has said; what is None is guessed."""

    name: str | None = None
    task: Task | None = None
    target: str | None = None
    time: str | None = None
    id: str | None = None
    positive: str | None = None
    decision: str = ""


class Initialised(msgspec.Struct, frozen=True, kw_only=True):
    """A project's first settings; ``guesses`` say what was guessed and from what."""

    path: str
    settings: Settings
    guesses: tuple[str, ...]
    warnings: tuple[str, ...]
    text: str
    written: bool


def initialise(
    folder: Path,
    *,
    data: Path,
    test: Path | None = None,
    answers: Answers | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> Initialised:
    """Write ``shipway.toml`` in *folder* from the training table *data* and *answers*.

    Raises :class:`~shipway.errors.UsageError` rather than replace a file without *force*, and
    :class:`~shipway.errors.DataError` when nothing in the table looks like a target or no
    contract can be made of it.
    """
    path = folder / FILE_NAME
    if path.exists() and not force and not dry_run:
        raise UsageError(
            f"{path} is there already",
            next_step="edit it by hand, or start anew with `shipway init --force`",
        )
    table = read_table(data)
    given = answers or Answers()
    model, guesses = _model(table, given, folder)
    # Settings that no contract can be inferred by would only be refused one command later.
    infer(
        table,
        model=model.name,
        task=model.task,
        target=model.target,
        time=model.time,
        id=model.id,
        positive=model.positive,
    )
    warnings = guess.leaks(table, model.target)
    settings = Settings(
        model=model,
        data=DataSettings(
            train=_relative(data, folder), test=None if test is None else _relative(test, folder)
        ),
        objectives=first_objectives(model),
    )
    text = render_settings(settings)
    if not dry_run:
        with storing(path):
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode(), mode=SHARED)
    return Initialised(
        path=str(path),
        settings=settings,
        guesses=guesses,
        warnings=tuple(warnings),
        text=text,
        written=not dry_run,
    )


def first_objectives(model: ModelSettings) -> Objectives:
    """A first set of objectives for a model's task: beat a rule, answer fast, do not fail."""
    traffic = (
        Objective(metric="latency_p99_ms", at_most=100.0),
        Objective(metric="error_rate", at_most=0.001),
    )
    live, baseline = Reference.LIVE, Reference.BASELINE
    common = {
        "task": model.task,
        "positive": model.positive,
        "block": model.block or "row",
        "confidence": model.confidence,
    }
    if model.task is Task.BINARY:
        quality = (
            Objective(metric="roc_auc", at_least=0.6, better_than=live),
            Objective(metric="cost_per_1000", better_than=baseline),
        )
        return Objectives(
            objectives=quality + traffic,
            costs=Costs(),
            baseline=BaselineKind.BEST_CONSTANT,
            **common,  # type: ignore[arg-type]
        )
    if model.task is Task.MULTICLASS:
        quality = (
            Objective(metric="accuracy", better_than=baseline),
            Objective(metric="macro_f1", at_least=0.5, better_than=live),
        )
        kind = BaselineKind.MAJORITY
    else:
        quality = (
            Objective(metric="mae", better_than=baseline),
            Objective(metric="r2", at_least=0.0),
        )
        kind = BaselineKind.MEAN
    return Objectives(objectives=quality + traffic, baseline=kind, **common)  # type: ignore[arg-type]


def _model(
    table: pl.DataFrame, given: Answers, folder: Path
) -> tuple[ModelSettings, tuple[str, ...]]:
    """The [model] section, and a line about each thing that nobody had said."""
    guesses = []
    target = given.target or guess.guess_target(table)
    if target is None:
        raise DataError(
            f"no column of the table looks like a target ({', '.join(table.columns)})",
            next_step="say which one with --target COLUMN",
        )
    if given.target is None:
        guesses.append(f"the target is {target!r}")
    task = given.task or guess.guess_task(table, target)
    if given.task is None:
        guesses.append(f"the task is {task}: {guess.why_task(table, target)}")
    time = given.time or guess.guess_time(table.drop(target, strict=False))
    if given.time is None and time is not None:
        guesses.append(f"the time column is {time!r}: rows of one day count as one block")
    row_id = given.id or guess.guess_id(table.drop(target, strict=False))
    if given.id is None and row_id is not None:
        guesses.append(f"{row_id!r} names the rows and is no feature")
    name = check_name(given.name, what="model name") if given.name is not None else _name_of(folder)
    if given.name is None:
        guesses.append(f"the model is called {name!r}, after the folder")
    model = ModelSettings(
        name=name,
        decision=given.decision,
        task=task,
        target=target,
        time=time,
        id=row_id,
        positive=given.positive,
        block="day" if time else "row",
    )
    return model, tuple(guesses)


def _name_of(folder: Path) -> str:
    return allowed_name(folder.resolve().name) or "model"


def _relative(path: Path, folder: Path) -> str:
    """*path* as the settings name it: relative to *folder* where it lies within."""
    absolute = path.resolve()
    try:
        return absolute.relative_to(folder.resolve()).as_posix()
    except ValueError:
        return str(absolute)
