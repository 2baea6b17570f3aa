"""One run of a model over a table: check, set aside, predict, chunk by chunk, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl

from shipway.batch import cells
from shipway.batch.parts import BAD, ROWS, SEEN, Part, Parts
from shipway.batch.protecting import protected, protected_dtype
from shipway.batch.quarantine import MOST_TOLD, problems_of, set_aside
from shipway.batch.source import Source
from shipway.contract.compiled import CompiledContract, FrameReport
from shipway.contract.schema import Role
from shipway.contract.violations import LIMIT
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.text import text_of
from shipway.errors import ContractViolated, Problem
from shipway.inference.decision import Decided
from shipway.inference.personal import Protection
from shipway.monitoring.scored import Answered, Seen, seen_of
from shipway.runtimes.port import Columns

Faults = dict[int, list[str]]
"""What is wrong with each bad row of a chunk, by its place in the chunk, in order."""

_OWN_COLUMNS = frozenset({"row", "score", "prediction", "model_version", "prediction_id"})


class Scorer(Protocol):
    """What predicts: the predictor of ``inference``, or anything that answers like it."""

    def predict_columns(self, columns: Columns) -> Decided:
        """Scores and labels of encoded columns."""


@dataclass(slots=True, kw_only=True)
class Job:
    """What is read, who is asked, what is allowed, and what was counted so far."""

    source: Source
    predictor: Scorer
    compiled: CompiledContract
    version: str
    request_id: str
    classes: tuple[Scalar, ...]
    keep_inputs: bool
    chunk_rows: int
    max_bad_share: float
    progress: Callable[[int], object]
    protection: Protection | None = None
    seen: Seen | None = None
    rows: int = 0
    bad_rows: int = 0
    problems: tuple[Problem, ...] = ()
    warnings: dict[str, int] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.compiled.contract.task

    def schema(self) -> pl.Schema:
        """The columns of the output, in order."""
        regression = self.task is Task.REGRESSION
        label = pl.Float64() if regression else pl.Series(self.classes).dtype
        kept = {
            new: protected_dtype(old, self.source.schema[old], self.protection)
            for old, new in self._kept().items()
        }
        return pl.Schema(
            {"row": pl.Int64(), **kept, "prediction": label}
            | dict.fromkeys(self._score_names(), pl.Float64())
            | {"model_version": pl.String(), "prediction_id": pl.String()}
        )

    def run(self, parts: Parts) -> None:
        """Make every part that is not there yet, in order; bad rows leave for the quarantine.

        Raises :class:`~shipway.errors.ContractViolated` as soon as it is sure that more rows are
        bad than may be.
        """
        number = 0
        while (part := parts.known(number)) is not None:
            self._take(part)
            number += 1
        for raw in self.source.chunks(self.chunk_rows, skip=self.rows):
            part = parts.known(number)
            self._take(self._make(parts, number, raw) if part is None else part)
            number += 1

    def check_share(self, total: int) -> None:
        """Raise ContractViolated if more of *total* rows are bad than may be."""
        if self.bad_rows > self.max_bad_share * total:
            raise ContractViolated(
                f"{self.bad_rows} of the first {self.rows} rows of {self.source.path.name} break "
                f"the contract, and at most {int(self.max_bad_share * total)} of {total} may; "
                "no predictions were written",
                next_step="mend these rows, or allow a larger share of bad ones",
                problems=self.problems,
            )

    def _take(self, part: Part) -> None:
        """Count what was made of one chunk, by this run or by one before."""
        self.rows += part.rows
        self.bad_rows += part.bad_rows
        self.problems = (*self.problems, *part.problems)[:MOST_TOLD]
        for code, count in part.warnings.items():
            self.warnings[code] = self.warnings.get(code, 0) + count
        if part.bad_rows and (self.source.rows is not None or self.max_bad_share == 0):
            self.check_share(self.source.rows or self.rows)
        self.progress(part.rows)

    def _make(self, parts: Parts, number: int, raw: pl.DataFrame) -> Part:
        frame, faults, warnings = self._checked(raw)
        rows = pl.Series("row", np.arange(self.rows, self.rows + raw.height))
        tables: dict[str, pl.DataFrame] = {}
        if faults:
            tables[BAD] = set_aside(protected(raw, self.protection), self.rows, faults)
            good = _all_but(faults, raw.height)
            frame, rows = frame.filter(good), rows.filter(pl.Series(good))
        if frame.height:
            tables |= self._predicted(frame, rows, parts.begun_at_ns)
        return parts.keep(
            number,
            tables,
            rows=raw.height,
            bad_rows=len(faults),
            warnings=warnings,
            problems=problems_of(self.rows, faults),
        )

    def _kept(self) -> dict[str, str]:
        """The columns of the input that go into the output, and what they are called there."""
        ids = {column.name for column in self.compiled.contract.having(Role.ID)}
        return {
            name: f"input_{name}" if _is_taken(name) else name
            for name in self.source.schema
            if self.keep_inputs or name in ids
        }

    def _score_names(self) -> list[str]:
        if self.task is Task.REGRESSION:
            return []  # the prediction is the value
        if self.task is Task.BINARY:
            return ["score"]
        return [f"probability_{text_of(value)}" for value in self.classes]

    def _checked(self, raw: pl.DataFrame) -> tuple[pl.DataFrame, Faults, dict[str, int]]:
        """The chunk with its types, what is wrong with its bad rows, and its soft faults."""
        frame, faults = raw, Faults()
        warnings: dict[str, int] = {}
        if self.source.is_text:
            frame = cells.typed(raw, self.source.schema)
            faults = cells.unreadable_cells(raw, frame, self.compiled.contract)
        readable = _all_but(faults, raw.height)
        rest = frame.filter(readable) if faults else frame
        if rest.height:
            report = self.compiled.check_frame(rest)
            warnings = dict(report.warnings)
            places = np.flatnonzero(readable)
            for row, reasons in self._reasons(rest, report).items():
                faults[int(places[row])] = reasons
        return frame, dict(sorted(faults.items())), warnings

    def _reasons(self, frame: pl.DataFrame, report: FrameReport) -> Faults:
        """Why each refused row is. A report tells only its first faults, so ask in parts."""
        if report.total <= LIMIT or frame.height == 1:
            told: Faults = {}
            for violation in report.violations:
                if violation.row is not None:
                    text = f"{violation.column}: {violation.message}"
                    told.setdefault(violation.row, []).append(text)
            return told
        places = np.flatnonzero(report.refused)
        refused = frame.filter(report.refused)
        step = LIMIT if refused.height > LIMIT else (refused.height + 1) // 2
        found: Faults = {}
        for start in range(0, refused.height, step):
            part = refused.slice(start, step)
            for row, reasons in self._reasons(part, self.compiled.check_frame(part)).items():
                found[int(places[start + row])] = reasons
        return found

    def _predicted(
        self, frame: pl.DataFrame, rows: pl.Series, begun_at_ns: int
    ) -> dict[str, pl.DataFrame]:
        """The answers to *frame*, and what monitoring is to see of them."""
        decided = self.predictor.predict_columns(self.compiled.encode(frame))
        frame = protected(frame, self.protection)
        scores = decided.scores.reshape(frame.height, -1)
        columns = {
            "row": rows,
            **{new: frame[old] for old, new in self._kept().items()},
            "prediction": pl.Series(decided.labels.tolist()),
            **{name: scores[:, index] for index, name in enumerate(self._score_names())},
        }
        made = pl.DataFrame(columns).with_columns(
            model_version=pl.lit(self.version),
            prediction_id=pl.format("{}:{}", pl.lit(self.request_id), pl.col("row")),
        )
        tables = {ROWS: made.cast(self.schema())}
        if self.seen is not None:
            wanted = [one.name for one in self.compiled.contract.request_columns]
            inputs = frame.select(name for name in wanted if name in frame.columns)
            single = self.task is not Task.MULTICLASS
            answered = Answered(
                inputs=inputs,
                rows=rows,
                scores=pl.Series(scores[:, 0]) if single else None,
                probabilities=None if single else pl.Series(scores.tolist()),
                labels=made["prediction"],
            )
            tables[SEEN] = seen_of(self.seen, self.request_id, answered, at_ns=begun_at_ns)
        return tables


def _is_taken(name: str) -> bool:
    return name in _OWN_COLUMNS or name.startswith("probability_")


def _all_but(faults: Faults, rows: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    good = np.ones(rows, dtype=np.bool_)
    good[list(faults)] = False
    return good
