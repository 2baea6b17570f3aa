"""Keeps the ``index.json`` of a store: a view for other tools, and never what is believed.

It lists every version, so that writing it takes the longer the more there are. After a publish it
is written at once in a small store; in a large one when a share of what it lists was published
since, when the registry is closed, and, should the process be killed before, when the store is
opened again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from shipway.errors import StoreError
from shipway.registry.oci import Descriptor
from shipway.registry.ports import BlobStore, MetadataStore
from shipway.registry.signing import listed_images

_SHARE = 200
"""One publish in so many listed versions may wait: writing the index is then a few milliseconds of
each publish, however many versions there are."""


class IndexView:
    """The index of the *blobs* that *store* tells of. A failure to write it fails nothing."""

    def __init__(self, store: MetadataStore, blobs: BlobStore) -> None:
        self._store, self._blobs = store, blobs
        self._listed = self._waiting = 0

    def now(self) -> None:
        """Write it, unless it lists all."""
        self._waiting = 0
        with suppress(StoreError):
            self._blobs.write_index(self._store.edition, self._listing)

    def soon(self) -> None:
        """Something was published: write it now, or later where that would take long."""
        self._waiting += 1
        if self._waiting * _SHARE > self._listed:
            self.now()

    def close(self) -> None:
        """Write what was put off."""
        if self._waiting:
            self.now()

    def _listing(self) -> Sequence[Descriptor]:
        found = listed_images(self._store)
        self._listed = len(found)
        return found
