"""Answers that tell every output, from texts that were made beforehand.

Nearly all answers are of this kind. What they are, byte for byte, is what the codec would have
made of them one by one; a property test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from shipway.domain.names import prediction_ids
from shipway.inference.predictor import Answer
from shipway.serving.protocols.decoded import Written
from shipway.serving.protocols.oip import encode
from shipway.serving.protocols.tensors import write_tensor

BINARY = b"application/octet-stream"
_NAME = b"{name}"


class WholeAnswers:
    """Writes answers of version *number* of *model*: all outputs, none with a warning.

    *datatypes* are those of the outputs, the label's first, then the score's, then the ids';
    *classes* is how many probabilities a row has where the score is that.
    """

    def __init__(
        self, model: str, number: str, datatypes: Mapping[str, str], classes: int | None
    ) -> None:
        start = encode({"model_name": model, "model_version": number})
        self._start = start[:-1].replace(b"%", b"%%") + b',"id":%b,"outputs":['
        self._label, self._score, _ = datatypes.values()
        self._flat = classes is not None
        shapes = ["%d", f"%d,{classes}" if self._flat else "%d", "%d"]
        self._json = self._text(datatypes, shapes, '"data":%b')
        self._head = self._text(datatypes, shapes, '"parameters":{"binary_data_size":%d}')

    def json(self, answer: Answer) -> Written:
        """*answer* as JSON."""
        rows = len(answer.prediction_ids)
        scores = self._scores(answer)
        label, score, ids = encode(answer.labels), encode(scores), encode(answer.prediction_ids)
        return Written(
            self._json % (encode(answer.request_id), rows, label, rows, score, rows, ids)
        )

    def binary(self, answer: Answer) -> Written:
        """*answer* with every output behind the JSON, by the binary tensor extension."""
        rows = len(answer.prediction_ids)
        label = write_tensor(self._label, answer.labels)
        score = write_tensor(self._score, self._scores(answer))
        name = answer.request_id.encode()
        ids = _ids(len(name), rows).replace(_NAME, name)
        sizes = (rows, len(label), rows, len(score), rows, len(ids))
        head = self._head % (encode(answer.request_id), *sizes)
        length = b"Inference-Header-Content-Length: %d\r\n" % len(head)
        return Written(b"".join((head, label, score, ids)), BINARY, length)

    def _scores(self, answer: Answer) -> list[Any]:
        scores: list[Any] = answer.scores
        return list(chain.from_iterable(scores)) if self._flat else scores

    def _text(self, datatypes: Mapping[str, str], shapes: list[str], values: str) -> bytes:
        """An answer with places for what each differs in."""
        outputs = [
            f'{{"name":"{name}","datatype":"{datatype}","shape":[{shape}],{values}}}'
            for (name, datatype), shape in zip(datatypes.items(), shapes, strict=True)
        ]
        return self._start + ",".join(outputs).encode() + b"]}"


@lru_cache(maxsize=256)
def _ids(length: int, rows: int) -> bytes:
    """The tensor of the prediction ids of *rows* rows, a place for the request's id in each.

    That id will have *length* bytes.
    """
    place = _NAME.decode()
    blob = write_tensor("BYTES", prediction_ids("\0" * length, rows))
    return blob.replace(b"\0" * length + b":", f"{place}:".encode())
