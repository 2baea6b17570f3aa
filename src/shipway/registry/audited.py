"""Records whose every change is told to the audit log before it is acknowledged, whoever makes it.

This is the one choke point: what is changed in a store is changed through these logs, so no
caller above can forget it. The records note each change within the transaction that makes it
(:class:`~shipway.registry.ports.AuditRecords`); here that is turned into lines at once. Where the
log cannot be written then, the change stands, what was noted waits in the records, and the next
line is written after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import ParamSpec, TypeVar

from shipway.errors import EnvironmentFailure, IntegrityError, ModelError, ShipwayError, StoreError
from shipway.registry.ports import (
    AuditRecords,
    BlobLedger,
    DeletionLog,
    EndpointLog,
    EvidenceLog,
    KeyLog,
    MetadataStore,
    SealLog,
    SignatureLog,
    VersionLog,
)
from shipway.registry.trail import AuditTrail
from shipway.security.audit import Entry, Outcome

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class AuditedMetadata:
    """A :class:`~shipway.registry.ports.MetadataStore` that tells *trail* of changes to *store*."""

    def __init__(self, store: MetadataStore, trail: AuditTrail) -> None:
        self._store = store
        self.versions: VersionLog = _Versions(store.versions, trail)
        self.deletions: DeletionLog = _Deletions(store.deletions, trail)
        self.ledger: BlobLedger = store.ledger
        self.signatures: SignatureLog = _Signatures(store.signatures, trail)
        self.seals: SealLog = _Seals(store.seals, trail)
        self.evidence: EvidenceLog = _Evidence(store.evidence, trail)
        self.endpoints: EndpointLog = _Endpoints(store.endpoints, trail)
        self.keys: KeyLog = _Keys(store.keys, trail)
        self.audit: AuditRecords = store.audit

    def edition(self) -> str:
        """See the port."""
        return self._store.edition()

    def revision(self) -> int:
        """See the port."""
        return self._store.revision()

    def dump(self) -> Iterator[bytes]:
        """See the port."""
        return self._store.dump()

    def close(self) -> None:
        """See the port."""
        self._store.close()


@contextmanager
def telling(trail: AuditTrail, what: str, of: str = "", *, dry_run: bool = False) -> Iterator[None]:
    """Tell *trail* that *what* was refused or has failed, if the block raises.

    What was only tried, as a *dry_run*, is told as such.
    """
    try:
        yield
    except ShipwayError as error:
        failed = isinstance(error, EnvironmentFailure | IntegrityError | ModelError)
        outcome = Outcome.FAILED if failed else Outcome.REFUSED
        detail = {"dry_run": True} if dry_run else {}
        entry = Entry(what=what, object=of, outcome=outcome, code=error.code, detail=detail)
        with suppress(StoreError):  # the error that is on its way matters more
            trail.record(entry)
        raise


def tell(trail: AuditTrail, entry: Entry) -> None:
    """Tell *trail* of *entry*, which is done: a log that cannot be written fails nothing."""
    try:
        trail.record(entry)
    except StoreError as error:
        _log.error("%s could not be told to the audit log: %s", entry.what, error.message)


def _told(trail: AuditTrail, what: str, change: Callable[_P, _R]) -> Callable[_P, _R]:
    """*change*, told to *trail* once it is made; *what* it is called where it fails."""

    @wraps(change)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with telling(trail, what):
            made = change(*args, **kwargs)
        try:
            trail.flush()
        except StoreError as error:
            _log.error("what was done waits for the audit log: %s", error.message)
        return made

    return told


class _Versions:
    def __init__(self, log: VersionLog, trail: AuditTrail) -> None:
        self.append = _told(trail, "version.publish", log.append)
        self.get, self.list = log.get, log.list
        self.summaries, self.models, self.images = log.summaries, log.models, log.images


class _Deletions:
    """What refuses a deletion is told by who decides (``deleting``)."""

    def __init__(self, log: DeletionLog, trail: AuditTrail) -> None:
        self.delete = _told(trail, "version.delete", log.delete)
        self.list = log.list


class _Signatures:
    def __init__(self, log: SignatureLog, trail: AuditTrail) -> None:
        self.append = _told(trail, "version.sign", log.append)
        self.list, self.images = log.list, log.images


class _Seals:
    def __init__(self, log: SealLog, trail: AuditTrail) -> None:
        self.rewrap = _told(trail, "version.rewrap", log.rewrap)
        self.find, self.list = log.find, log.list


class _Evidence:
    def __init__(self, log: EvidenceLog, trail: AuditTrail) -> None:
        self.append = _told(trail, "version.judge", log.append)
        self.get, self.list, self.verdicts = log.get, log.list, log.verdicts


class _Endpoints:
    """What refuses a change of these is told by who decides (``rollout``)."""

    def __init__(self, log: EndpointLog, trail: AuditTrail) -> None:
        self.append = _told(trail, "endpoint.change", log.append)
        self.last, self.history, self.names = log.last, log.history, log.names


class _Keys:
    def __init__(self, log: KeyLog, trail: AuditTrail) -> None:
        self.append = _told(trail, "key.create", log.append)
        self.revoke = _told(trail, "key.revoke", log.revoke)
        self.list = log.list
