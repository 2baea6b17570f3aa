"""Encrypting a version that was published before anybody was named to read it."""

from __future__ import annotations

from datetime import datetime

from shipway.registry.records import Version
from shipway.registry.registry import Registry


def encrypt_version(registry: Registry, version: Version, *, by: str, now: datetime) -> bool:
    """Encrypt a *version* that was published plain; whether it had to be.

    It is published again, which seals it. Its plain files are unneeded then, unless another version
    has them plain, and go with the first collection after the grace period. Raises
    :class:`~shipway.errors.UsageError` where nobody is named for whom.
    """
    registry.sealing.check_recipients()
    if registry.sealing.is_sealed(version):
        return False
    opened = registry.verified_files(version)
    files = {path: file.read_bytes() for path, file in opened.items()}
    registry.publish(version.manifest, files, by=by, now=now)
    registry.stores[2].forget_plain(version)
    registry.refresh_index()
    return True
