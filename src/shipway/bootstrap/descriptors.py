"""Descriptors to talk with a child process through: what it is told, and what it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def available(descriptor: int, most: int) -> Iterator[bytes]:
    """What can be read now, up to *most* bytes."""
    with suppress(BlockingIOError):
        while most > 0 and (part := os.read(descriptor, min(most, 65536))):
            most -= len(part)
            yield part


@contextmanager
def readable(content: bytes) -> Iterator[int]:
    """A descriptor to read *content* from, however long it is."""
    descriptor = os.memfd_create("order")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose two ends are closed at the end of the block."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)
