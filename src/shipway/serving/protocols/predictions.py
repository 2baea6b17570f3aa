"""The answer that KServe v1, MLflow, SageMaker and Vertex clients read: ``predictions``.

A prediction is the label (the value, in regression), as scikit-learn's ``predict`` has it. Ids and
scores stand beside the predictions, where clients that do not know them pass over them. The
parameter ``prediction`` lets a client have ``score`` (the probability of the positive class, the
probabilities of all classes) or the whole ``row`` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from shipway.domain.names import new_id
from shipway.errors import MalformedRequest
from shipway.inference.decision import DecisionRule
from shipway.inference.predictor import Answer, ServedVersion
from shipway.serving.protocols.decoded import Decoded, Writer, Written
from shipway.serving.protocols.documents import Table
from shipway.serving.protocols.ids import ID_FAULT, is_id

FORMS = ("label", "score", "row")
_encode = msgspec.json.Encoder().encode


class Predictions(msgspec.Struct, gc=False, omit_defaults=True):
    """The body; ``probabilities`` in multiclass tasks, ``scores`` in binary ones, else neither."""

    predictions: list[Any]
    model_name: str
    model_version: str
    id: str
    prediction_ids: list[str]
    scores: list[float] | None = None
    probabilities: list[list[float]] | None = None
    warnings: dict[str, int] = {}


class PredictionWriter:
    """Writes answers of one version."""

    def __init__(self, served: ServedVersion, rule: DecisionRule) -> None:
        self._model = served.model
        self._number = str(served.number)
        self._rule = rule

    @property
    def source(self) -> str:
        """How the model is named in a CloudEvent."""
        return f"io.kserve.inference.{self._model}"

    @property
    def score_field(self) -> str | None:
        """What the scores of a row are called; None where the label is the value."""
        if self._rule.width is None:
            return None
        return "score" if self._rule.positive is not None else "probabilities"

    def decoded(
        self,
        table: Table,
        *,
        id: object = None,  # noqa: A002  the field's own name
        form: object = None,
        wrap: Callable[[Written], Written] | None = None,
    ) -> Decoded:
        """*table* as the predictor takes it, answered in *form*; *wrap* has the last word.

        Raises MalformedRequest for an id or a form that is none.
        """
        chosen = "label" if form is None else form
        if chosen not in FORMS:
            raise MalformedRequest(
                "the parameter prediction is none of label, score and row",
                next_step="leave it out to get labels",
            )
        rows = len(next(iter(table.values()), ()))
        write: Writer = partial(self.write, str(chosen))
        if wrap is not None:
            plain = write
            write = lambda answer: wrap(plain(answer))  # noqa: E731
        return Decoded(checked_id(id), table, rows, write)

    def write(self, form: str, answer: Answer) -> Written:
        """The bytes of *answer*."""
        body = Predictions(
            self._predictions(form, answer),
            self._model,
            self._number,
            answer.request_id,
            list(answer.prediction_ids),
        )
        if self._rule.positive is not None:
            body.scores = answer.scores  # type: ignore[assignment]
        elif self._rule.width is not None:
            body.probabilities = answer.scores  # type: ignore[assignment]
        if answer.warnings:
            body.warnings = dict(answer.warnings)
        return Written(_encode(body))

    def _predictions(self, form: str, answer: Answer) -> list[Any]:
        if form == "label" or (form == "score" and self._rule.width is None):
            return list(answer.labels)
        if form == "score":
            return list(answer.scores)
        field = self.score_field
        rows = []
        for position, label in enumerate(answer.labels):
            row = {"label": label, "prediction_id": answer.prediction_ids[position]}
            if field is not None:
                row[field] = answer.scores[position]  # type: ignore[assignment]
            rows.append(row)
        return rows


def checked_id(given: object) -> str:
    """The request's id: the client's own if it is short printable ASCII, else a new one for none.

    Raises MalformedRequest for any other id.
    """
    if given is None or given == "":
        return new_id()
    if not isinstance(given, str) or not is_id(given):
        raise MalformedRequest(ID_FAULT, next_step="send a short id, or none")
    return given
