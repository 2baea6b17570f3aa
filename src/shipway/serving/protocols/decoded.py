"""What every protocol makes of a request, and how an answer to it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from shipway.inference.predictor import Answer, RequestColumns

JSON = b"application/json"
_NEVER = float("inf")


class Written(NamedTuple):
    """The body of an answer, its media type, and further headers as whole lines."""

    body: bytes
    content_type: bytes = JSON
    headers: bytes = b""


Writer = Callable[[Answer], Written]


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A request as the predictor takes it, and how its answer is to be written.

    ``timeout_s`` is the time that the client itself gave it, from its last byte on.
    """

    id: str
    columns: RequestColumns
    rows: int
    write: Writer
    timeout_s: float = _NEVER
