"""SHA-256 digests in the form ``sha256:<64 hex digits>``, and the JSON that is digested."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

_CHUNK_BYTES = 1 << 20
_canonical = msgspec.json.Encoder(order="sorted")


def digest_of(data: bytes) -> str:
    """The digest of *data*.

    >>> digest_of(b"")[:20]
    'sha256:e3b0c44298fc1'
    """
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of_file(path: Path) -> str:
    """The digest of the bytes of the file at *path*, read in chunks of 1 MiB."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha.update(chunk)
    return f"sha256:{sha.hexdigest()}"


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes, so equal digests."""
    return _canonical.encode(value)
