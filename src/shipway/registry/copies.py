"""Versions from the copies in a store's folder alone, as a process sees them that has no store."""

from __future__ import annotations

from pathlib import Path

from shipway.registry.cache import VersionCache
from shipway.registry.records import Version
from shipway.registry.signing import KeptSigning
from shipway.security.trust import TrustPolicy


class CachedVersions:
    """What lies in *cache*, verified at each use and believed by *trust*."""

    def __init__(self, cache: VersionCache, trust: TrustPolicy) -> None:
        self._cache = cache
        self.signing = KeptSigning(cache.signatures, trust)

    def open_files(self, version: Version) -> dict[str, Path]:
        """The files of *version* by their path in the manifest, verified and believed just now.

        Raises :class:`~shipway.errors.IntegrityError` for what is not what was published, not
        here, or not signed by whom the policy names.
        """
        self.signing.believe(version)
        return self._cache.open_files(version)
