"""A manifest as the bytes that its digest is of."""

from __future__ import annotations

import msgspec

from shipway.domain.digests import canonical_json
from shipway.errors import UsageError
from shipway.registry.records import Manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    """The JSON of *manifest*, after making sure that it reads back as the same.

    Raises :class:`~shipway.errors.UsageError` for a value that JSON cannot hold.
    """
    try:
        content = canonical_json(manifest)
        same = msgspec.json.decode(content, type=Manifest) == manifest
    except (TypeError, ValueError, msgspec.ValidationError) as error:
        raise _not_exact(manifest, str(error)) from error
    if not same:
        raise _not_exact(manifest, "it would read back as something else")
    return content


def _not_exact(manifest: Manifest, why: str) -> UsageError:
    return UsageError(
        f"the manifest of {manifest.model} cannot be kept as JSON: {why}",
        next_step="look for NaN, infinity, or a value that is no plain string, number or boolean",
    )
