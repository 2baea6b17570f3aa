"""The transport-free predictor: requests in, answers out, one event a request kept in between.

It takes everything that arrived together as one call of the model. It knows nothing of HTTP,
of queues or of which version is live: ``serving`` decides what reaches it and when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from statistics import median
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.contract.block import Layout, RowMajor
from shipway.contract.example import example_row
from shipway.contract.requests import RequestChecker
from shipway.contract.schema import Contract
from shipway.contract.together import BatchChecker
from shipway.domain.events import EventSink, PredictionEvent, Scalar
from shipway.domain.model import Kind, ModelSpec
from shipway.domain.names import prediction_ids
from shipway.errors import PredictionFailed, ShipwayError
from shipway.inference.decision import Decided, DecisionRule, not_a_prediction, predict_columns
from shipway.inference.personal import Protection
from shipway.runtimes.port import Columns, Model, Stalling

_NOTHING: Mapping[str, int] = {}
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)
_PACED_ROWS = (32, 256)
_LONGEST_PACED_S = 0.25
_FEW_ROWS = 64  # up to so many plain loops beat numpy
_SLOWER = 0.1
_SLOWEST = 1.5  # by how much one call can raise what is expected of the next

RequestColumn = Sequence[Scalar] | NDArray[np.generic]
RequestColumns = Mapping[str, RequestColumn]


class Pace(msgspec.Struct, frozen=True):
    """How fast a version answers, measured at its warm-up; zeros before that.

    ``one_row_s`` is the median time of a lone row, ``rows_per_s`` the rate of the largest batch
    that was tried. Both are of the model and the decision, without anything of the transport.
    """

    one_row_s: float = 0.0
    rows_per_s: float = 0.0

    def seconds(self, rows: int) -> float:
        """About how long *rows* rows take; 0 where it is not known."""
        return max(self.one_row_s, rows / self.rows_per_s) if self.rows_per_s else 0.0

    def learned(self, rows: int, seconds: float) -> Pace:
        """The pace after a call in which *rows* rows took *seconds*.

        A call that was faster than expected is believed at once: nothing makes a model faster than
        it is. One that was slower may have been held up by others, and moves it by a tenth.
        """
        expected = self.seconds(rows)
        if not expected:
            return self
        change = seconds / expected
        if change > 1.0:
            change = min(1.0 + (change - 1.0) * _SLOWER, _SLOWEST)
        if self.one_row_s >= rows / self.rows_per_s:
            return Pace(self.one_row_s * change, self.rows_per_s)
        return Pace(self.one_row_s, self.rows_per_s / change)


class ServedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What a predictor needs to know of the version that it answers with.

    ``latency_p99_s`` is its objective for that, where it has one.
    """

    endpoint: str
    model: str
    number: int
    digest: str
    contract: Contract
    spec: ModelSpec
    threshold: float | None = None
    positive: str | None = None
    latency_p99_s: float | None = None

    @property
    def ref(self) -> str:
        """The version as people write it: ``flight-delay@3``."""
        return f"{self.model}@{self.number}"


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request for predictions: columns of equal length, as they were received."""

    id: str
    columns: RequestColumns
    caller: str
    received_at_ns: int


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Predictions for every row of one request, in its order; ``warnings`` counts by code."""

    request_id: str
    version: int
    scores: list[float] | list[list[float]]
    labels: list[Scalar]
    prediction_ids: list[str]
    warnings: Mapping[str, int] = {}


Outcome = Answer | ShipwayError


class _Admitted(msgspec.Struct, frozen=True, gc=False):
    """A request that the model may see."""

    request: Request
    columns: Columns
    rows: int
    warnings: Mapping[str, int]


class Predictor:
    """Answers requests with one version of one model, and keeps an event of each.

    ``status_of`` gives the status that an error is recorded with; the transport owns that table.
    ``protection`` says what an event holds of personal columns.
    Call it from one thread at a time. ``pace`` is known after :meth:`warm_up`;
    ``may_stall`` says that a call may take far longer than that.
    """

    def __init__(
        self,
        served: ServedVersion,
        model: Model,
        sink: EventSink,
        clock_ns: Callable[[], int],
        *,
        status_of: Callable[[ShipwayError], int] = lambda _: 500,
        protection: Protection | None = None,
    ) -> None:
        self.served = served
        self.rule = DecisionRule.of(
            served.spec, threshold=served.threshold, positive=served.positive
        )
        self.pace = Pace()
        self._binary = self.rule.positive is not None
        self.may_stall = isinstance(model, Stalling) and model.may_stall
        self._checker = RequestChecker(served.contract)
        self._together = BatchChecker(served.contract, self._checker)
        self._model = model
        self._sink = sink
        self._clock_ns = clock_ns
        self._status_of = status_of
        self._protection = protection

    @property
    def layout(self) -> Layout | None:
        """The order of the features in a matrix, None where a request cannot be one."""
        return self._together.layout

    def predict(self, requests: Sequence[Request]) -> list[Outcome]:
        """The outcome of each request, in order, from one call of the model.

        Their events are with the sink before this returns. A request that breaks the contract,
        or whose rows the model cannot answer, gets its error and does not touch the others.
        Raises only what the sink raises (:class:`~shipway.errors.StoreError`).
        """
        outcomes = self.answer(requests)
        self.record(requests, outcomes)
        return outcomes

    def answer(self, requests: Sequence[Request]) -> list[Outcome]:
        """The same without events: :meth:`record` keeps them, in the thread that owns the sink."""
        if not requests:
            return []
        clean = self._together.check([request.columns for request in requests])
        if clean is not None:
            try:
                return self._answers(
                    clean.columns,
                    [
                        _Admitted(request, clean.columns, rows, _NOTHING)
                        for request, rows in zip(requests, clean.rows, strict=True)
                    ],
                )
            except PredictionFailed as error:
                if len(requests) == 1:
                    return [error]
        return self._answer_each(requests)

    def record(self, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
        """Keep an event of each of *requests*; raises what the sink raises."""
        rows = [
            len(outcome.prediction_ids) if isinstance(outcome, Answer) else rows_of(request)
            for request, outcome in zip(requests, outcomes, strict=True)
        ]
        self._record(requests, outcomes, rows)

    def record_refused(
        self, requests: Sequence[Request], errors: Sequence[ShipwayError], rows: Sequence[int]
    ) -> None:
        """Keep events of requests that never reached the model (overload, a deadline passed)."""
        self._record(requests, errors, rows)

    def predict_columns(self, columns: Columns) -> Decided:
        """Scores and labels of encoded *columns*, without check and without events."""
        return predict_columns(self._model, self.rule, columns)

    def warm_up(self, calls: int = 3) -> Pace:
        """Predict the contract's example row, so that no client pays for the first; the pace of it.

        The row is predicted *calls* times alone and as often repeated in a batch, while a batch
        is not expected to take over a quarter of a second. Raises
        :class:`~shipway.errors.PredictionFailed` if the model cannot answer. A contract whose
        columns have no (valid) examples, as personal text has none, is answered with nothing, and
        its pace stays unknown.
        """
        row = example_row(self.served.contract)
        example = {
            one.name: [row[one.name] if one.personal and one.kind in _NUMBERS else one.example]
            for one in self.served.contract.features
        }
        checked = self._checker.check(example)
        if checked.violations:
            return self.pace
        one_row_s = self._median_s(checked.columns, calls)
        pace = Pace(one_row_s, 1 / one_row_s)
        for rows in _PACED_ROWS:
            if rows / pace.rows_per_s > _LONGEST_PACED_S:
                break
            batch = {name: np.repeat(values, rows) for name, values in checked.columns.items()}
            pace = Pace(one_row_s, rows / self._median_s(batch, calls))
        self.pace = pace
        return pace

    def _median_s(self, columns: Columns, calls: int) -> float:
        times = []
        for _ in range(calls):
            began = perf_counter()
            self.predict_columns(columns)
            times.append(perf_counter() - began)
        return max(median(times), 1e-9)

    def close(self) -> None:
        """Close the model; predicting afterwards is an error."""
        self._model.close()

    def _answer_each(self, requests: Sequence[Request]) -> list[Outcome]:
        """Check each request by itself; what is in order goes to the model together."""
        outcomes: list[Outcome | None] = [None] * len(requests)
        good: list[_Admitted] = []
        places: list[int] = []
        for position, request in enumerate(requests):
            try:
                checked = self._checker.check(request.columns)
            except ShipwayError as error:
                outcomes[position] = error
                continue
            if checked.violations:
                outcomes[position] = checked.error(f"the request to {self.served.ref}")
            else:
                warnings = checked.warnings or _NOTHING
                good.append(_Admitted(request, checked.columns, checked.rows, warnings))
                places.append(position)
        for position, outcome in zip(places, self._answer_good(good), strict=True):
            outcomes[position] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _answer_good(self, good: list[_Admitted]) -> list[Outcome]:
        """One call for all; where that fails, one each, so that only the poisonous one does."""
        if not good:
            return []
        try:
            return self._answers(_joined([one.columns for one in good]), good)
        except PredictionFailed as error:
            if len(good) == 1:
                return [error]
            return [outcome for one in good for outcome in self._answer_good([one])]

    def _answers(self, columns: Columns, good: list[_Admitted]) -> list[Outcome]:
        """What the model says of *columns*, which are those of *good* one after the other."""
        ends = list(accumulate(one.rows for one in good))
        raw = self._call(columns, ends[-1])
        bad = None
        few = self.rule.few(raw) if self._binary and ends[-1] <= _FEW_ROWS else None
        if few is not None:
            scores, labels = few
        else:
            bad = self.rule.bad_rows(raw)
            decided = self.rule.decide(raw)
            scores, labels = decided.scores.tolist(), decided.labels.tolist()
        outcomes: list[Outcome] = []
        for one, end in zip(good, ends, strict=True):
            start = end - one.rows
            if bad is not None and bad[start:end].any():
                outcomes.append(not_a_prediction(raw[start:end], bad[start:end]))
                continue
            name = one.request.id
            outcomes.append(
                Answer(
                    name,
                    self.served.number,
                    scores[start:end],
                    labels[start:end],
                    prediction_ids(name, one.rows),
                    one.warnings,
                )
            )
        return outcomes

    def _call(self, columns: Columns, rows: int) -> NDArray[np.float64]:
        try:
            raw = np.asarray(self._model.predict(columns), dtype=np.float64)
        except PredictionFailed:
            raise
        except Exception as error:
            raise PredictionFailed(
                f"{self.served.ref} raised {type(error).__name__}",
                next_step="look at the server's log; roll back if it does so for good requests",
            ) from error
        self.rule.check_shape(raw, rows)
        return raw

    def _record(
        self, requests: Sequence[Request], outcomes: Sequence[Outcome], rows: Sequence[int]
    ) -> None:
        now_ns = self._clock_ns()
        names: tuple[str, ...] = () if self.layout is None else self.layout.names
        events: list[PredictionEvent] = []
        for request, outcome, count in zip(requests, outcomes, rows, strict=True):
            event = self._event(request, outcome, count, now_ns, names)
            if event.matrix:
                names = ()  # told once
            events.append(event)
        if events:
            self._sink.append(events)

    def _event(
        self,
        request: Request,
        outcome: Outcome,
        rows: int,
        now_ns: int,
        names: tuple[str, ...],
    ) -> PredictionEvent:
        """The event of one request; *names* are those of a matrix, if they are to be told."""
        served = self.served
        latency_us = max(0, now_ns - request.received_at_ns) // 1000  # a clock may be set back
        if isinstance(outcome, Answer):
            columns, matrix = _received(request.columns)
            if self._protection is not None:
                known = () if self.layout is None else self.layout.names
                columns, matrix = self._protection.received(columns, known, matrix), b""
            return PredictionEvent(
                request_id=request.id,
                received_at_ns=request.received_at_ns,
                endpoint=served.endpoint,
                model=served.model,
                version=served.number,
                caller=request.caller,
                rows=rows,
                latency_us=latency_us,
                columns=columns,
                scores=outcome.scores,
                labels=outcome.labels,
                warnings=dict(outcome.warnings),
                names=names if matrix else (),
                matrix=matrix,
            )
        return PredictionEvent(
            request_id=request.id,
            received_at_ns=request.received_at_ns,
            endpoint=served.endpoint,
            model=served.model,
            version=served.number,
            caller=request.caller,
            rows=rows,
            latency_us=latency_us,
            status=self._status_of(outcome),
            code=outcome.code,
        )


def _received(columns: RequestColumns) -> tuple[dict[str, list[Scalar]], bytes]:
    """What an event keeps of *columns*: columns, or a matrix."""
    if isinstance(columns, RowMajor):
        return {}, np.asarray(columns.numbers, dtype=np.float64).tobytes()
    # The contract lets no other column in, and nearly always all are lists already.
    if columns.__class__ is dict and all(one.__class__ is list for one in columns.values()):
        return columns, b""
    return {name: _as_list(values) for name, values in columns.items()}, b""


def _joined(parts: list[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def rows_of(request: Request) -> int:
    """How many rows *request* has, or seems to have if its columns differ."""
    return max((len(values) for values in request.columns.values()), default=0)


def _as_list(values: RequestColumn) -> list[Scalar]:
    """*values* as plain Python values; a missing number is None, as it is in JSON."""
    if isinstance(values, list):
        return values
    if isinstance(values, np.ndarray):
        plain: list[Scalar] = values.tolist()
        if values.dtype.kind != "f" or not np.isnan(values).any():
            return plain
        return [None if value != value else value for value in plain]  # noqa: PLR0124  NaN
    return list(values)
