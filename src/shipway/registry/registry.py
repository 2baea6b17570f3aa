"""The registry: what may be published, found, believed and put live.

All rules stand here; where bytes and records are kept is behind ``ports``. What a method has
returned survives a kill and a power cut; what raised has changed nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from shipway.domain.digests import digest_of
from shipway.domain.names import check_name
from shipway.errors import ConflictError, NotFoundError, Problem, UsageError
from shipway.registry.audited import telling
from shipway.registry.cache import VersionCache
from shipway.registry.entries import content_problems, path_problems
from shipway.registry.history import Action, deletions, live_before
from shipway.registry.index_view import IndexView
from shipway.registry.manifests import manifest_bytes
from shipway.registry.oci import image_bytes, image_descriptor
from shipway.registry.placing import put_and_append
from shipway.registry.ports import BlobStore, MetadataStore
from shipway.registry.records import (
    EndpointChange,
    EndpointState,
    EvidenceRecord,
    Manifest,
    Seal,
    Version,
    VersionSummary,
)
from shipway.registry.refusals import deleted, moved, no_model, no_version
from shipway.registry.sealing import Sealing
from shipway.registry.signing import Signing
from shipway.registry.trail import AuditTrail
from shipway.security.audit import Head
from shipway.security.keys import KeyRecord
from shipway.security.sealing import NO_KEYRING, Keyring
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy

_NUMBER = re.compile(r"v?([1-9][0-9]{0,8})", re.ASCII)
_REFERENCE = "write a version as 'flight-delay@3', '3' or 'latest'"


class Registry:
    """Versions, evidence, endpoints and keys of one store. Usable from several threads.

    ``signing`` is who signed its versions, and who of them is believed; ``sealing`` is for whom
    they are encrypted; ``trail`` is its audit log.
    """

    def __init__(
        self,
        store: MetadataStore,
        blobs: BlobStore,
        cache: VersionCache,
        trail: AuditTrail,
        trust: TrustPolicy = DEFAULT_TRUST,
        keyring: Keyring = NO_KEYRING,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._cache = cache
        self.trail = trail
        self.signing = Signing(
            store, blobs, cache.signatures, trust, refresh_index=self.refresh_index
        )
        self.sealing = Sealing(store, blobs, keyring)
        self._index = IndexView(store, blobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back connections and files."""
        self._index.close()
        self._store.close()

    # Versions

    def publish(
        self,
        manifest: Manifest,
        files: Mapping[str, bytes],
        *,
        by: str,
        now: datetime,
        number: int | None = None,
    ) -> Version:
        """The version of *manifest* with *files* (path to content): new, or the one there is.

        All or nothing: bytes are durable before the record that makes them a version is
        written. The digest is of the manifest alone, so the same model published again, by
        whomever and whenever, is the same version; a plain one is encrypted by it where the keyring
        has recipients. *number* is what a version of another store
        was called there; it keeps it in a store that has none of its model. Raises UsageError
        with every fault of the manifest, ConflictError for a *number* that is not free to choose,
        and StoreError when there is no room or no right to write.
        """
        check_name(manifest.model, what="model name")
        content = manifest_bytes(manifest)
        problems = [*path_problems(manifest.files), *content_problems(manifest.files, files)]
        if manifest.spec.main_file not in files:
            message = f"the model's main file {manifest.spec.main_file!r} was not given"
            problems.append(Problem("registry.file-missing", message))
        if problems:
            raise UsageError(
                f"{manifest.model} cannot be published: its files and its manifest disagree",
                next_step="describe the files with shipway.registry.entries.file_entries",
                problems=problems,
            )
        if number is not None and manifest.model in self.models():
            raise ConflictError(
                f"{manifest.model} cannot have the number {number}: it has versions here already",
                next_step="publish without a number, or into a store of its own",
            )
        image = image_bytes(manifest, content)
        append = partial(
            self._store.versions.append,
            manifest,
            content=content,
            digest=digest_of(content),
            image=image_descriptor(image),
            by=by,
            now=now,
            first=number or 1,
        )

        seals: Sequence[Seal] = ()

        def prepare() -> tuple[Sequence[bytes], Callable[[], Version]]:
            nonlocal seals
            seals, contents = self.sealing.prepare(
                manifest.model, digest_of(content), files, earlier=seals
            )
            return [*contents, content, image], partial(append, seals=seals)

        version = put_and_append(self._blobs, prepare)
        self._index.soon()
        return version

    @property
    def stores(self) -> tuple[MetadataStore, BlobStore, VersionCache]:
        """What it keeps records, bytes and copies in, for those who look after them."""
        return self._store, self._blobs, self._cache

    def models(self) -> dict[str, int]:
        """The newest version number of each model, by name."""
        return self._store.versions.models()

    def versions(self, model: str) -> tuple[Version, ...]:
        """All versions of *model*, oldest first; none for a model that there is not."""
        return self._store.versions.list(model)

    def summaries(self, model: str) -> tuple[VersionSummary, ...]:
        """What a list shows of the versions of *model*, oldest first; it reads no manifest."""
        return self._store.versions.summaries(model)

    def version(self, model: str, number: int) -> Version:
        """Version *number* of *model*, or NotFoundError that says which there are."""
        found = self._store.versions.get(model, number)
        if found is not None:
            return found
        raise self._no_version(model, number)

    def resolve(self, reference: str, model: str | None = None) -> Version:
        """The version that people mean by ``flight-delay@3``, ``3``, ``v3`` or ``latest``.

        *model* stands in where the reference names none; with neither, the store's only model
        is meant. Raises UsageError for a reference of another form, NotFoundError for no such.
        """
        named, at, which = reference.rpartition("@")
        if at:
            model = check_name(named, what="model name")
        model = model or self._only_model()
        if which == "latest":
            newest = self.models().get(model)
            if newest is None:
                raise no_model(model, self.models())
            return self.version(model, newest)
        match = _NUMBER.fullmatch(which)
        if match is None:
            raise UsageError(f"{reference!r} does not name a version", next_step=_REFERENCE)
        return self.version(model, int(match[1]))

    def open_files(self, version: Version) -> dict[str, Path]:
        """The files of *version* on disk by their path in the manifest, verified just now.

        Raises :class:`~shipway.errors.NotBelieved` when the policy does not believe who signed
        it, and :class:`~shipway.errors.DigestMismatch`, naming version and file, when stored
        bytes differ; a cached copy alone that is damaged is mended from the blobs.
        """
        self.signing.believe(version)
        return self._cache.open_files(version)

    def verified_files(self, version: Version) -> dict[str, Path]:
        """The same, whoever signed it: to be signed or shown, and never to be loaded."""
        return self._cache.open_files(version)

    def refresh_index(self) -> None:
        """Make the OCI layout's ``index.json`` list every version now; see :class:`IndexView`."""
        self._index.now()

    # Evidence

    def record_evidence(
        self, model: str, number: int, *, kind: str, verdict: str, body: object, now: datetime
    ) -> EvidenceRecord:
        """Keep what was judged about a version; *body* is a struct or a dict, kept as JSON.

        JSON has neither NaN nor infinity: they are kept as null.
        """
        self.version(model, number)
        return self._store.evidence.append(
            model=model,
            number=number,
            kind=kind,
            verdict=str(verdict),
            body=msgspec.convert(msgspec.to_builtins(body, str_keys=True), dict[str, object]),
            now=now,
        )

    def evidence(self, model: str, number: int) -> tuple[EvidenceRecord, ...]:
        """What was judged about a version, oldest first."""
        return self._store.evidence.list(model, number)

    def verdicts(self, model: str, kind: str) -> dict[int, str]:
        """The newest verdict of *kind* about each version of *model* that has any, by number."""
        return self._store.evidence.verdicts(model, kind)

    # Endpoints

    def endpoints(self) -> tuple[EndpointState, ...]:
        """Every endpoint as it stands, by name."""
        states = (self.endpoint(name) for name in self._store.endpoints.names())
        return tuple(state for state in states if state is not None)

    def endpoint(self, name: str) -> EndpointState | None:
        """What the endpoint *name* routes to; None if it was never moved."""
        last = self._store.endpoints.last(name)
        return None if last is None else _state(last)

    def move_endpoint(
        self,
        name: str,
        *,
        model: str,
        expected: int,
        live: int,
        action: str,
        by: str,
        reason: str,
        evidence: int | None,
        now: datetime,
        forced: bool = False,
    ) -> EndpointState:
        """Make version *live* of *model* what the endpoint *name* answers with.

        A compare-and-set: *expected* is the sequence that the decision was made on, 0 for an
        endpoint that there is not yet; if it moved since, ConflictError says to what, and
        nothing changes. A move to what is live already changes nothing and adds no line. An
        endpoint keeps its model. Raises NotFoundError for no such version or evidence, and
        UsageError for evidence about another version.
        """
        check_name(name, what="endpoint name")
        if action not in set(Action):
            known = " or ".join(Action)
            raise UsageError(f"{action!r} is no way to move an endpoint", next_step=f"use {known}")
        self.version(model, live)
        if evidence is not None:
            self._check_evidence(evidence, model, live)
        last = self._store.endpoints.last(name)
        if last is not None and last.model != model:
            raise UsageError(
                f"the endpoint {name!r} is of the model {last.model} and cannot serve {model}",
                next_step="give the other model an endpoint of its own",
            )
        if last is not None and (last.sequence, last.live) == (expected, live):
            return _state(last)
        change = EndpointChange(
            endpoint=name,
            model=model,
            sequence=expected + 1,
            action=action,
            before=None if last is None else last.live,
            live=live,
            at=now,
            by=by,
            reason=reason,
            evidence=evidence,
            forced=forced,
        )
        if (0 if last is None else last.sequence) != expected or not (
            self._store.endpoints.append(change)
        ):
            self.version(model, live)  # it may have been deleted since
            raise moved(name, expected, self._store.endpoints.last(name))
        return _state(change)

    def history(self, name: str) -> tuple[EndpointChange, ...]:
        """Every change of the endpoint *name*, oldest first; none if it was never moved."""
        return self._store.endpoints.history(name)

    def rollback_target(self, name: str) -> int:
        """The version to go back to: live before the present one, and not rolled back from.

        Raises NotFoundError when there was none.
        """
        target = live_before(self.history(name))
        if target is None:
            raise NotFoundError(
                f"the endpoint {name!r} had no version live before the present one",
                next_step="name a version to go to: `shipway promote <version>`",
            )
        return target

    def revision(self) -> int:
        """A number that grows with every change of an endpoint or a key; cheap to ask often."""
        return self._store.revision()

    # Keys

    def add_key(self, record: KeyRecord) -> KeyRecord:
        """Keep the record of a new key."""
        self._store.keys.append(record)
        return record

    def keys(self) -> tuple[KeyRecord, ...]:
        """All keys, revoked and expired ones too, oldest first."""
        return self._store.keys.list()

    def revoke_key(self, key_id: str, *, now: datetime) -> KeyRecord:
        """The key *key_id*, from now on refused; one revoked before keeps its time."""
        revoked = self._store.keys.revoke(key_id, now)
        if revoked is None:
            with telling(self.trail, "key.revoke", key_id):
                raise NotFoundError(
                    f"there is no key {key_id!r}", next_step="list them with `shipway keys list`"
                )
        return revoked

    # Audit

    def audit_heads(self) -> tuple[Head, ...]:
        """The newest line of each audit log that tells of this store, as the records know it."""
        return self._store.audit.heads()

    def _check_evidence(self, record_id: int, model: str, number: int) -> None:
        record = self._store.evidence.get(record_id)
        if record is None:
            raise NotFoundError(
                f"there is no evidence {record_id}", next_step="gate the version: `shipway gate`"
            )
        if (record.model, record.number) != (model, number):
            raise UsageError(
                f"evidence {record_id} is about {record.model}@{record.number}, "
                f"not {model}@{number}",
                next_step="gate the version itself: `shipway gate`",
            )

    def _only_model(self) -> str:
        models = self.models()
        if len(models) == 1:
            return next(iter(models))
        there = f"it has {', '.join(models)}" if models else "it has no model yet"
        raise UsageError(
            f"the store does not tell which model is meant: {there}", next_step=_REFERENCE
        )

    def _no_version(self, model: str, number: int) -> NotFoundError:
        for change in deletions(self._store.deletions.list(model)):
            if change.number == number:
                return deleted(change)
        newest = self.models().get(model)
        if newest is None:
            return no_model(model, self.models())
        first = self.summaries(model)[0].number
        return no_version(model, number, first=first, newest=newest)


def _state(change: EndpointChange) -> EndpointState:
    return EndpointState(
        endpoint=change.endpoint, model=change.model, live=change.live, sequence=change.sequence
    )
