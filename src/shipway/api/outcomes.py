"""Labelled rows and a predictor become outcomes: what the model says of each, beside the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.contract.compiled import CompiledContract
from shipway.contract.schema import Column, Contract
from shipway.contract.tables import known_rows
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.text import text_of
from shipway.errors import DataError, NotEnoughData, UnreadableTable
from shipway.evidence.outcomes import (
    Labels,
    Outcomes,
    class_indices,
    classified,
    positive_index,
    regressed,
    time_blocks,
)
from shipway.inference.decision import Decided
from shipway.inference.predictor import Predictor
from shipway.registry.records import Manifest


def labelled(table: pl.DataFrame, target: Column | None, path: Path) -> pl.DataFrame:
    """The rows of *table*, read from *path*, whose *target* is known.

    Raises :class:`~shipway.errors.UnreadableTable` if there is no such column, and
    :class:`~shipway.errors.NotEnoughData` if no row has it.
    """
    name = target.name if target else ""
    if name not in table.columns:
        raise UnreadableTable(
            f"{path.name} has no column {name!r}, so nothing can be judged on it",
            next_step="give a table with the outcomes: `shipway gate --data TABLE`",
        )
    rows = known_rows(table, name)
    if rows.height == 0:
        raise NotEnoughData(
            f"no row of {path.name} has a known {name!r}",
            next_step="give a table with the outcomes: `shipway gate --data TABLE`",
        )
    return rows


def outcomes_of(manifest: Manifest, predictor: Predictor, rows: pl.DataFrame) -> Outcomes:
    """What *predictor*, which is of *manifest*, says of labelled *rows*, by its objectives.

    Raises :class:`~shipway.errors.ContractViolated` with the rows that break the contract.
    """
    scores = _decided(predictor, rows, "the test table").scores
    contract = predictor.served.contract
    return _outcomes(manifest, contract, rows, scores, threshold=manifest.threshold)


def compared_outcomes(
    manifest: Manifest, contract: Contract, predictor: Predictor, rows: pl.DataFrame
) -> Outcomes:
    """What another model, *predictor*, says of the same *rows*, in the words of *manifest*.

    *contract* belongs to *manifest*. The decisions are the other model's own. Its scores are of
    the classes and of the positive class that *manifest* asks about; a class that it does not
    know it never finds. Raises :class:`~shipway.errors.DataError` when the two decide between
    different things, and :class:`~shipway.errors.ContractViolated` when the rows break its
    contract.
    """
    ref = predictor.served.ref
    decided = _decided(predictor, rows, f"the test table, by the contract of {ref}")
    classes, own = manifest.spec.classes, predictor.served.spec.classes
    theirs = {text_of(value) for value in own}
    same = theirs == {text_of(value) for value in classes}
    if manifest.task is not predictor.served.spec.task or (
        manifest.task is Task.BINARY and not same
    ):
        raise DataError(
            f"{ref} decides between {', '.join(map(text_of, own)) or 'numbers'}, the candidate"
            f" between {', '.join(map(text_of, classes)) or 'numbers'}: they cannot be compared",
            next_step='take better_than = "live" out, or give the new model a name of its own',
        )
    if manifest.task is Task.REGRESSION:
        return _outcomes(manifest, contract, rows, decided.scores)
    if manifest.task is Task.MULTICLASS:
        scores = _spread(decided.scores, own, classes)
        return _outcomes(manifest, contract, rows, scores)
    positive = classes[positive_index(classes, manifest.objectives.positive)]
    asked = predictor.rule.positive is not None and (
        text_of(own[predictor.rule.positive]) == text_of(positive)
    )
    scores = decided.scores if asked else 1.0 - decided.scores
    found = _outcomes(manifest, contract, rows, scores)
    return replace(found, decided=class_indices(decided.labels, classes))


def _decided(predictor: Predictor, rows: pl.DataFrame, what: str) -> Decided:
    compiled = CompiledContract(predictor.served.contract)
    report = compiled.check_frame(rows)
    if not report.ok:
        raise report.error(what)
    return predictor.predict_columns(compiled.encode(rows))


def _outcomes(
    manifest: Manifest,
    contract: Contract,
    rows: pl.DataFrame,
    scores: NDArray[np.float64],
    *,
    threshold: float | None = None,
) -> Outcomes:
    objectives = manifest.objectives
    truth = rows[contract.target.name].to_numpy() if contract.target else np.empty(0)
    blocks = _blocks(objectives.block, rows, contract.time.name if contract.time else None)
    slices = _slices(manifest, rows)
    if manifest.task is Task.REGRESSION:
        return regressed(truth, scores, blocks=blocks, slices=slices)
    return classified(
        objectives,
        truth,
        scores,
        classes=manifest.spec.classes,
        blocks=blocks,
        slices=slices,
        threshold=threshold,
    )


def _spread(
    scores: NDArray[np.float64], own: tuple[Scalar, ...], classes: tuple[Scalar, ...]
) -> NDArray[np.float64]:
    """*scores* (n, len(own)) as (n, len(classes)): 0 for a class that is not among *own*."""
    place = {text_of(value): index for index, value in enumerate(own)}
    spread = np.zeros((len(scores), len(classes)))
    for index, value in enumerate(classes):
        if text_of(value) in place:
            spread[:, index] = scores[:, place[text_of(value)]]
    return spread


def _blocks(block: str, rows: pl.DataFrame, time: str | None) -> Labels | None:
    if block in rows.columns:
        return rows[block].to_numpy()
    if time is None or time not in rows.columns:
        return None
    moments = rows[time].cast(pl.Datetime("us")) if rows[time].dtype == pl.Date else rows[time]
    return time_blocks(
        moments.dt.convert_time_zone("UTC")
        .dt.replace_time_zone(None)
        .dt.cast_time_unit("us")
        .to_numpy(),
        block,
    )


def _slices(manifest: Manifest, rows: pl.DataFrame) -> dict[str, Labels]:
    names = {name for objective in manifest.objectives.objectives for name in objective.slices}
    missing = sorted(names - set(rows.columns))
    if missing:
        raise UnreadableTable(
            f"the table lacks {', '.join(missing)}, which objectives slice by",
            next_step="add the columns, or take them out of the objectives' slices",
        )
    return {name: rows[name].to_numpy() for name in sorted(names)}
