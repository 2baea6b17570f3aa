"""What a JSON document may cost before it is decoded: how deep it nests, how much it holds.

Decoding makes many small objects of few bytes, so the size of a body alone does not bound the
memory that it takes. Both checks are counts of single bytes, which cost next to nothing; only a
body that has many brackets is looked at more closely.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from shipway.errors import MalformedRequest, TooLarge

_BRACKETS = b"[]{}"
_OTHERS = bytes(sorted(set(range(256)) - set(_BRACKETS)))
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_STEP = np.zeros(256, dtype=np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1
_SLICE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits of a document, as ``serve.max_json_depth`` and ``serve.max_elements`` set them."""

    max_json_depth: int = 64
    max_elements: int = 16 << 20

    def check(self, body: bytes | bytearray | memoryview) -> None:
        """Raise TooLarge or MalformedRequest if the JSON in *body* may cost more than allowed."""
        body = body if isinstance(body, bytes | bytearray) else bytes(body)
        if len(body) > self.max_elements and body.count(b",") >= self.max_elements:
            raise self.too_many(body.count(b",") + 1)
        limit = self.max_json_depth
        if body.count(b"[") + body.count(b"{") <= limit or _depth(body) <= limit:
            return
        if _depth(_STRING.sub(b"", body)) > limit:
            raise MalformedRequest(
                f"the JSON is nested more than {limit} levels deep",
                next_step="send it flat, or raise serve.max_json_depth",
            )

    def check_elements(self, count: int) -> None:
        """Raise TooLarge if a request holds *count* values and that is more than allowed."""
        if count > self.max_elements:
            raise self.too_many(count)

    def too_many(self, count: int) -> TooLarge:
        """The refusal of *count* values."""
        return TooLarge(
            f"the request holds {count} values and {self.max_elements} are allowed",
            next_step="send fewer rows a request, or raise serve.max_elements",
        )


def _depth(body: bytes | bytearray) -> int:
    """How deep brackets nest in *body*, those within strings counted as well."""
    brackets = np.frombuffer(body.translate(None, _OTHERS), dtype=np.uint8)
    deepest = level = 0
    for start in range(0, len(brackets), _SLICE):
        levels = np.cumsum(_STEP[brackets[start : start + _SLICE]], dtype=np.int64) + level
        deepest, level = max(deepest, int(levels.max())), int(levels[-1])
    return deepest
