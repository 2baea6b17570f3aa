"""The transport-free predictor: requests in, answers out, one event a request kept in between.

It takes everything that arrived together as one call of the model. It knows nothing of HTTP,
of queues or of which version is live: ``serving`` decides what reaches it and when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.contract.requests import Checked, RequestChecker
from shipway.contract.schema import Contract
from shipway.domain.events import EventSink, PredictionEvent, Scalar
from shipway.domain.model import ModelSpec
from shipway.domain.names import prediction_id
from shipway.errors import PredictionFailed, ShipwayError
from shipway.inference.decision import Decided, DecisionRule, not_a_prediction, predict_columns
from shipway.runtimes.port import Columns, Model

_NOTHING: Mapping[str, int] = {}

RequestColumn = Sequence[Scalar] | NDArray[np.generic]
RequestColumns = Mapping[str, RequestColumn]


class ServedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What a predictor needs to know of the version that it answers with."""

    endpoint: str
    model: str
    number: int
    digest: str
    contract: Contract
    spec: ModelSpec
    threshold: float | None = None
    positive: str | None = None

    @property
    def ref(self) -> str:
        """The version as people write it: ``flight-delay@3``."""
        return f"{self.model}@{self.number}"


@dataclass(frozen=True, slots=True)
class Request:
    """One request for predictions: columns of equal length, as they were received."""

    id: str
    columns: RequestColumns
    caller: str
    received_at_ns: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Predictions for every row of one request, in its order; ``warnings`` counts by code."""

    request_id: str
    version: int
    scores: list[float] | list[list[float]]
    labels: list[Scalar]
    prediction_ids: list[str]
    warnings: Mapping[str, int] = field(default_factory=dict)


Outcome = Answer | ShipwayError


class Predictor:
    """Answers requests with one version of one model, and keeps an event of each.

    ``status_of`` gives the status that an error is recorded with; the transport owns that table.
    Call it from one thread at a time.
    """

    def __init__(
        self,
        served: ServedVersion,
        model: Model,
        sink: EventSink,
        clock_ns: Callable[[], int],
        *,
        status_of: Callable[[ShipwayError], int] = lambda _: 500,
    ) -> None:
        self.served = served
        self.rule = DecisionRule.of(
            served.spec, threshold=served.threshold, positive=served.positive
        )
        self._checker = RequestChecker(served.contract)
        self._recorded = frozenset(column.name for column in served.contract.request_columns)
        self._model = model
        self._sink = sink
        self._clock_ns = clock_ns
        self._status_of = status_of

    def predict(self, requests: Sequence[Request]) -> list[Outcome]:
        """The outcome of each request, in order, from one call of the model.

        Their events are with the sink before this returns. A request that breaks the contract,
        or whose rows the model cannot answer, gets its error and does not touch the others.
        Raises only what the sink raises (:class:`~shipway.errors.StoreError`).
        """
        outcomes: list[Outcome | None] = [None] * len(requests)
        rows = [0] * len(requests)
        good: list[tuple[int, Checked]] = []
        for position, request in enumerate(requests):
            try:
                checked = self._checker.check(request.columns)
            except ShipwayError as error:
                outcomes[position] = error
                rows[position] = _rows_of(request)
                continue
            rows[position] = checked.rows
            if checked.violations:
                outcomes[position] = checked.error(f"the request to {self.served.ref}")
            else:
                good.append((position, checked))
        answered = self._answer([(requests[position], checked) for position, checked in good])
        for (position, _), outcome in zip(good, answered, strict=True):
            outcomes[position] = outcome
        settled = [outcome for outcome in outcomes if outcome is not None]
        self._record(requests, settled, rows)
        return settled

    def record_refused(
        self, requests: Sequence[Request], errors: Sequence[ShipwayError], rows: Sequence[int]
    ) -> None:
        """Keep events of requests that never reached the model (overload, a deadline passed)."""
        self._record(requests, errors, rows)

    def predict_columns(self, columns: Columns) -> Decided:
        """Scores and labels of encoded *columns*, without check and without events."""
        return predict_columns(self._model, self.rule, columns)

    def warm_up(self, calls: int = 3) -> None:
        """Predict the contract's example row *calls* times, so that no client pays for the first.

        Raises :class:`~shipway.errors.PredictionFailed` if the model cannot answer it. A contract
        whose columns have no (valid) examples is answered with nothing.
        """
        example = {column.name: [column.example] for column in self.served.contract.features}
        checked = self._checker.check(example)
        if checked.violations:
            return
        for _ in range(calls):
            self.predict_columns(checked.columns)

    def close(self) -> None:
        """Close the model; predicting afterwards is an error."""
        self._model.close()

    def _answer(self, good: list[tuple[Request, Checked]]) -> list[Outcome]:
        """One call for all; where that fails, one each, so that only the poisonous one does."""
        if not good:
            return []
        try:
            raw = self._call(_joined([checked.columns for _, checked in good]), good)
        except PredictionFailed as error:
            if len(good) == 1:
                return [error]
            return [outcome for one in good for outcome in self._answer([one])]
        bad = self.rule.bad_rows(raw)
        decided = self.rule.decide(raw)
        scores, labels = decided.scores.tolist(), decided.labels.tolist()
        ends = list(accumulate(checked.rows for _, checked in good))
        outcomes: list[Outcome] = []
        for (request, checked), end in zip(good, ends, strict=True):
            start = end - checked.rows
            if bad is not None and bad[start:end].any():
                outcomes.append(not_a_prediction(raw[start:end], bad[start:end]))
                continue
            outcomes.append(
                Answer(
                    request.id,
                    self.served.number,
                    scores[start:end],
                    labels[start:end],
                    [prediction_id(request.id, row) for row in range(checked.rows)],
                    checked.warnings or _NOTHING,
                )
            )
        return outcomes

    def _call(self, columns: Columns, good: list[tuple[Request, Checked]]) -> NDArray[np.float64]:
        try:
            raw = np.asarray(self._model.predict(columns), dtype=np.float64)
        except PredictionFailed:
            raise
        except Exception as error:
            raise PredictionFailed(
                f"{self.served.ref} raised {type(error).__name__}",
                next_step="look at the server's log; roll back if it does so for good requests",
            ) from error
        self.rule.check_shape(raw, sum(checked.rows for _, checked in good))
        return raw

    def _record(
        self, requests: Sequence[Request], outcomes: Sequence[Outcome], rows: Sequence[int]
    ) -> None:
        now_ns = self._clock_ns()
        events = [
            self._event(request, outcome, count, now_ns)
            for request, outcome, count in zip(requests, outcomes, rows, strict=True)
        ]
        if events:
            self._sink.append(events)

    def _event(self, request: Request, outcome: Outcome, rows: int, now_ns: int) -> PredictionEvent:
        served = self.served
        latency_us = max(0, now_ns - request.received_at_ns) // 1000  # a clock may be set back
        if isinstance(outcome, Answer):
            return PredictionEvent(
                request_id=request.id,
                received_at_ns=request.received_at_ns,
                endpoint=served.endpoint,
                model=served.model,
                version=served.number,
                caller=request.caller,
                rows=rows,
                latency_us=latency_us,
                columns=self._received(request),
                scores=outcome.scores,
                labels=outcome.labels,
                warnings=dict(outcome.warnings),
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

    def _received(self, request: Request) -> dict[str, list[Scalar]]:
        recorded = self._recorded
        return {
            name: values if isinstance(values, list) else _as_list(values)
            for name, values in request.columns.items()
            if name in recorded
        }


def _joined(parts: list[dict[str, NDArray[np.generic]]]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows_of(request: Request) -> int:
    return max((len(values) for values in request.columns.values()), default=0)


def _as_list(values: RequestColumn) -> list[Scalar]:
    """*values* as plain Python values; a missing number is None, as it is in JSON."""
    if isinstance(values, np.ndarray):
        plain: list[Scalar] = values.tolist()
        return [None if value != value else value for value in plain]  # noqa: PLR0124  NaN
    return list(values)
