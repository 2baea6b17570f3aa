"""``pull``: a version from elsewhere, verified to the last byte, into the store.

Its number is the next one here. Its signatures are judged by the policy here before anything is
published, and kept. What was judged about it elsewhere is kept and shown, as evidence of a kind
that no gate takes for its own (ADR 0025).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from shipway.api.push import FROM_ELSEWHERE
from shipway.api.tag import tag_when_asked
from shipway.bootstrap.exchanging import limits_of, source_at
from shipway.bootstrap.project import Project
from shipway.domain.digests import digest_of
from shipway.domain.names import check_name
from shipway.domain.progress import SILENT, Progress
from shipway.errors import CodeRefused, ModelFileError, NotBelieved
from shipway.exchange.attachments import EVIDENCE_TYPE, Evidence, read_evidence, signatures_in
from shipway.exchange.places import place_to_fetch
from shipway.exchange.pulling import Fetched
from shipway.exchange.pulling import pull as fetch
from shipway.registry.audited import tell, telling
from shipway.registry.manifests import manifest_bytes
from shipway.registry.records import Version
from shipway.registry.signing import signed_resources
from shipway.security.audit import Entry
from shipway.security.curves import can_sign
from shipway.security.trust import Believed, Signature, judge

_OWN_CODE = "python"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What was judged about a version elsewhere."""

    kind: str
    verdict: str
    at: datetime


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """A version that came in: ``new`` says that the store did not have it.

    ``artifact`` is its digest where it came from, ``identity`` whose signature is good ("" for
    nobody's), and ``named`` whether the policy names them. ``version`` is "" when nothing was
    published.
    """

    version: str
    address: str
    artifact: str
    digest: str
    new: bool
    files: int
    size_bytes: int
    identity: str
    named: bool
    signatures: int
    claims: tuple[Claim, ...]


def pull(
    project: Project,
    address: str,
    *,
    model: str | None = None,
    trust_code: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Pulled:
    """The version at *address*, ``registry/name:tag``, ``…@sha256:…`` or a layout, in the store.

    It must be one of the project's model, or of *model*; one of own code comes in only with
    *trust_code*, or signed by whom the policy names. Raises
    :class:`~shipway.errors.ModelFileError` with all that is wrong with it,
    :class:`~shipway.errors.DigestMismatch`, :class:`~shipway.errors.NotBelieved`,
    :class:`~shipway.errors.TooLarge`, :class:`~shipway.errors.NotFoundError`,
    :class:`~shipway.errors.AccessError` and :class:`~shipway.errors.EnvironmentFailure`; nothing
    is left in the store then.
    """
    place = place_to_fetch(address)
    name = check_name(model, what="model name") if model else project.model
    where = str(place)
    with telling(project.registry.trail, "version.pull", where, dry_run=dry_run):
        with (
            progress.start(f"Fetching {where}", None, "bytes") as task,
            source_at(project, place, task) as source,
        ):
            fetched = fetch(source, place.key, where=where, limits=limits_of(project), model=name)
        if not isinstance(fetched, Fetched):
            raise ModelFileError(
                f"{where} was made by another tool, and has no manifest of Shipway's",
                next_step=f"make a version of the model in it: `shipway import {where}`",
            )
        return _enter(project, fetched, where, trust_code=trust_code, dry_run=dry_run)


def _enter(
    project: Project, fetched: Fetched, where: str, *, trust_code: bool, dry_run: bool
) -> Pulled:
    """Publish *fetched* if it is believed, with who signed it and what was judged elsewhere."""
    said = [read_evidence(one) for one in fetched.attachments if one.type == EVIDENCE_TYPE]
    signatures = signatures_in(fetched.attachments)
    coming = _coming(project, fetched)
    believed = judge(
        project.trust, coming.model, signed_resources(coming), lambda: signatures, what=where
    )
    if coming.manifest.spec.format == _OWN_CODE and not (trust_code or believed.named):
        raise CodeRefused(
            f"{where} holds code, which can do anything, and no identity of the policy signed it",
            next_step="name who signs it in trust.identities; or, if you have read it, add"
            " --trust-code",
        )
    known = {one.digest for one in project.registry.versions(coming.model)}
    pulled = Pulled(
        version="",
        address=where,
        artifact=fetched.digest,
        digest=coming.digest,
        new=coming.digest not in known,
        files=len(fetched.files),
        size_bytes=sum(map(len, fetched.files.values())),
        identity=believed.identity,
        named=believed.named,
        signatures=len(signatures),
        claims=tuple(Claim(kind=one.kind, verdict=one.verdict, at=one.created_at) for one in said),
    )
    if dry_run:
        return pulled
    version = project.registry.publish(
        fetched.manifest, fetched.files, by=project.who, now=project.clock()
    )
    kept = _keep_signatures(project, version, signatures)
    _note(project, version, said, where)
    tag_when_asked(project)
    _tell(project, version, pulled, believed)
    return msgspec.structs.replace(pulled, version=version.ref, signatures=kept)


def _coming(project: Project, fetched: Fetched) -> Version:
    """The version as it would be, to be judged before it is one."""
    return Version(
        model=check_name(fetched.manifest.model, what="model name"),
        number=0,
        digest=digest_of(manifest_bytes(fetched.manifest)),
        created_at=project.clock(),
        created_by=project.who,
        manifest=fetched.manifest,
    )


def _keep_signatures(project: Project, version: Version, signatures: Sequence[Signature]) -> int:
    """Keep those of *signatures* that are good and not here yet; how many are here then."""
    signing = project.registry.signing
    known = {record.digest for record in signing.records(version)}
    for one in signatures if can_sign() else ():
        if digest_of(one.bundle) not in known:
            with suppress(NotBelieved):  # anybody may put one beside an artefact
                signing.add(version, one, by=project.who, now=project.clock())
    return len(signing.records(version))


def _note(project: Project, version: Version, said: list[Evidence], where: str) -> None:
    """Keep each of *said* once, however often it comes along."""
    records = project.registry.evidence(version.model, version.number)
    known = [one.body.get("said") for one in records if one.kind == FROM_ELSEWHERE]
    for one in said:
        told = msgspec.to_builtins(one)
        if told not in known:
            project.registry.record_evidence(
                version.model,
                version.number,
                kind=FROM_ELSEWHERE,
                verdict=one.verdict,
                body={"from": where, "said": told},
                now=project.clock(),
            )


def _tell(project: Project, version: Version, pulled: Pulled, believed: Believed) -> None:
    detail = {"from": pulled.address, "artifact": pulled.artifact, "identity": believed.identity}
    tell(
        project.registry.trail,
        Entry(what="version.pull", object=version.ref, detail=detail),
    )
