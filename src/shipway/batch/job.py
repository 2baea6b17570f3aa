"""One run of a model over a table: check, set aside, predict, chunk by chunk, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl

from shipway.batch.checking import all_but, check_chunk
from shipway.batch.chunks import Chunk, ahead
from shipway.batch.parts import BAD, ROWS, SEEN, Part, Parts
from shipway.batch.protecting import protected, protected_dtype
from shipway.batch.quarantine import MOST_TOLD, problems_of, set_aside
from shipway.batch.source import Source
from shipway.contract.compiled import CompiledContract
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.text import text_of
from shipway.errors import ContractViolated, Problem
from shipway.inference.decision import Decided
from shipway.inference.personal import Protection
from shipway.monitoring.scored import Answered, Seen, seen_of
from shipway.runtimes.port import Columns

_OWN_COLUMNS = frozenset({"row", "file", "score", "prediction", "model_version", "prediction_id"})


class Scorer(Protocol):
    """What predicts: the predictor of ``inference``, or anything that answers like it."""

    def predict_columns(self, columns: Columns) -> Decided:
        """Scores and labels of encoded columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A chunk of *read* rows after its check: the good ones as they came and as the model has them.

    ``rows`` are their numbers in the input, ``aside`` the bad ones with their reasons, ``file`` and
    ``name`` those of the file.
    """

    frame: pl.DataFrame
    rows: pl.Series
    encoded: Columns
    aside: pl.DataFrame | None
    file: int
    name: str
    read: int
    expected: int
    warnings: dict[str, int]
    problems: tuple[Problem, ...]


@dataclass(slots=True, kw_only=True)
class Job:
    """What is read, who is asked, what is allowed, and what was counted so far."""

    source: Source
    predictor: Scorer
    compiled: CompiledContract
    version: str
    request_id: str
    classes: tuple[Scalar, ...]
    chunk_rows: int
    max_bad_share: float
    progress: Callable[[int], object] = lambda _: None
    protection: Protection | None = None
    seen: Seen | None = None
    rows: int = 0
    bad_rows: int = 0
    expected: int = 0
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
        file: dict[str, pl.DataType] = {"file": pl.String()} if self.source.several else {}
        return pl.Schema(
            {"row": pl.Int64(), **file, **kept, "prediction": label}
            | dict.fromkeys(self._score_names(), pl.Float64())
            | {"model_version": pl.String(), "prediction_id": pl.String()}
        )

    def run(self, parts: Parts) -> None:
        """Make every part that is not there yet, in order; bad rows leave for the quarantine.

        While the model predicts one chunk, the next is read and checked, and what was made of the
        last is written, each in a thread of its own. Raises
        :class:`~shipway.errors.ContractViolated` as soon as it is sure that more rows are bad than
        may be.
        """
        number = file = in_file = 0
        while (part := parts.known(number)) is not None:
            self._take(part)
            in_file = part.rows + (in_file if part.source == file else 0)
            file = part.source
            number += 1
        chunks = self.source.chunks(self.chunk_rows, file=file, skip=in_file)
        with ThreadPoolExecutor(1, thread_name_prefix="shipway-parts") as writer:
            kept: Future[Part] | None = None
            for ready in ahead(self.prepared(chunks, first_row=self.rows)):
                known = parts.known(number)
                tables = {} if known else self.predicted(ready, parts.begun_at_ns)
                if kept is not None:
                    self._take(kept.result())
                kept = writer.submit(_keep, parts, number, ready, tables, known)
                number += 1
            if kept is not None:
                self._take(kept.result())

    def prepared(self, chunks: Iterator[Chunk], *, first_row: int) -> Iterator[Ready]:
        """*chunks*, whose first row has the number *first_row*, checked and made ready to ask."""
        for chunk in chunks:
            yield self._ready(chunk, first_row)
            first_row += chunk.frame.height

    def check_share(self, total: int) -> None:
        """Raise ContractViolated if more of *total* rows are bad than may be."""
        rejected = self.bad_rows - self.expected
        if rejected > self.max_bad_share * total:
            raise ContractViolated(
                f"{rejected} of the first {self.rows} rows of {self.source.path.name} break "
                f"the contract, and at most {int(self.max_bad_share * total)} of {total} may; "
                "no predictions were written",
                next_step="mend these rows, or allow a larger share of bad ones",
                problems=self.problems,
            )

    def _take(self, part: Part) -> None:
        """Count what was made of one chunk, by this run or by one before."""
        self.rows += part.rows
        self.bad_rows += part.bad_rows
        self.expected += part.expected
        self.problems = (*self.problems, *part.problems)[:MOST_TOLD]
        for code, count in part.warnings.items():
            self.warnings[code] = self.warnings.get(code, 0) + count
        if part.bad_rows and (self.source.rows is not None or self.max_bad_share == 0):
            self.check_share(self.source.rows or self.rows)
        self.progress(part.rows)

    def _ready(self, chunk: Chunk, first_row: int) -> Ready:
        checked = check_chunk(self.compiled, chunk)
        faults = checked.faults
        frame = chunk.frame
        rows = pl.Series("row", np.arange(first_row, first_row + frame.height))
        aside = None
        if faults:
            places = list(faults)
            found = protected(chunk.raw(places), self.protection)
            numbers = [first_row + place for place in places]
            aside = set_aside(found, numbers, faults, file=self.source.told(chunk))
            good = pl.Series(all_but(faults, frame.height))
            frame, rows = frame.filter(good), rows.filter(good)
        return Ready(
            frame=frame,
            rows=rows,
            encoded=self.compiled.encode_checked(frame) if frame.height else {},
            aside=aside,
            file=chunk.file,
            name=self._name(chunk),
            read=chunk.frame.height,
            expected=checked.expected,
            warnings=dict(checked.warnings),
            problems=problems_of(first_row, faults),
        )

    def _name(self, chunk: Chunk) -> str:
        return self.source.files[chunk.file].name

    def _kept(self) -> dict[str, str]:
        """The columns of the input that go into the output, and what they are called there."""
        return {name: f"input_{name}" if _is_taken(name) else name for name in self.source.schema}

    def _score_names(self) -> list[str]:
        if self.task is Task.REGRESSION:
            return []  # the prediction is the value
        if self.task is Task.BINARY:
            return ["score"]
        return [f"probability_{text_of(value)}" for value in self.classes]

    def predicted(self, ready: Ready, begun_at_ns: int) -> dict[str, pl.DataFrame]:
        """The answers to *ready*, what is set aside, and what monitoring is to see of them."""
        tables = {} if ready.aside is None else {BAD: ready.aside}
        if not ready.frame.height:
            return tables
        decided = self.predictor.predict_columns(ready.encoded)
        frame, rows = protected(ready.frame, self.protection), ready.rows
        scores = decided.scores.reshape(frame.height, -1)
        nothing = pl.Series([None] * frame.height)
        kept = self._kept().items()
        columns = {
            "row": rows,
            **(
                {"file": pl.repeat(ready.name, frame.height, eager=True)}
                if self.source.several
                else {}
            ),
            **{new: frame[old] if old in frame.columns else nothing for old, new in kept},
            "prediction": pl.Series(decided.labels.tolist()),
            **{name: scores[:, index] for index, name in enumerate(self._score_names())},
        }
        made = pl.DataFrame(columns).with_columns(
            model_version=pl.lit(self.version),
            prediction_id=pl.format("{}:{}", pl.lit(self.request_id), pl.col("row")),
        )
        tables[ROWS] = made.cast(self.schema())
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


def _keep(
    parts: Parts, number: int, ready: Ready, tables: Mapping[str, pl.DataFrame], known: Part | None
) -> Part:
    return known or parts.keep(
        number,
        tables,
        rows=ready.read,
        bad_rows=0 if ready.aside is None else ready.aside.height,
        expected=ready.expected,
        warnings=ready.warnings,
        problems=ready.problems,
        source=ready.file,
    )


def _is_taken(name: str) -> bool:
    return name in _OWN_COLUMNS or name.startswith("probability_")
