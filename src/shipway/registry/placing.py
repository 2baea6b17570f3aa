"""Bytes first, then the record that needs them, with a collection at work beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from shipway.errors import StoreError
from shipway.registry.ports import BlobStore, BlobsWereUnneeded

Made = TypeVar("Made")

_ATTEMPTS = 20


def put_and_append(
    blobs: BlobStore, prepare: Callable[[], tuple[Sequence[bytes], Callable[[], Made]]]
) -> Made:
    """What is appended once its bytes are durable; all of it again if a collection came between.

    *prepare* gives the bytes, and what appends the record that needs them. Raises StoreError when
    that happens again and again: only a grace period of nothing does it.
    """
    for _ in range(_ATTEMPTS):
        contents, append = prepare()
        blobs.put(contents)
        try:
            return append()
        except BlobsWereUnneeded:
            continue
    raise StoreError(
        f"a collection of unneeded files came in between {_ATTEMPTS} times",
        next_step="publish again, and give `shipway gc` a longer grace period",
    )
