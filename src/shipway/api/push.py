"""``push``: a version as an artefact elsewhere, in the form of CNCF ModelPack."""

from __future__ import annotations

import msgspec

from shipway.api.named import version_named
from shipway.bootstrap.exchanging import repository_at
from shipway.bootstrap.project import Project
from shipway.domain.progress import SILENT, Progress
from shipway.exchange.attachments import Attachment, evidence_attachment, signature_attachment
from shipway.exchange.places import place_to_send
from shipway.exchange.pushing import Sent
from shipway.exchange.pushing import push as send
from shipway.registry.audited import tell, telling
from shipway.registry.records import Version
from shipway.security.audit import Entry

FROM_ELSEWHERE = "elsewhere"
"""The kind of evidence that came with a version; no gate takes it for its own."""


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent where: ``address`` names it by its tag, ``digest`` ("" for a dry run) for ever.

    ``already_there`` of its ``blobs`` were not sent, because they were there.
    """

    version: str
    address: str
    digest: str
    blobs: int
    already_there: int
    evidence: int
    signatures: int
    size_bytes: int


def push(
    project: Project,
    version: str,
    address: str,
    *,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Pushed:
    """Send *version* to *address*, ``registry/name:tag`` or the folder of an OCI image layout.

    With it goes what was judged about it here and who signed it. A tag that is another artefact
    moves only with *force*. Raises :class:`~shipway.errors.UsageError` for an address of another
    form, :class:`~shipway.errors.ConflictError`, :class:`~shipway.errors.AccessError` and
    :class:`~shipway.errors.EnvironmentFailure`.
    """
    place = place_to_send(address)
    chosen = version_named(project, version)
    tag = place.tag or f"{chosen.model}-{chosen.number}"
    place = msgspec.structs.replace(place, tag=tag)
    trail = project.registry.trail
    with telling(trail, "version.push", chosen.ref, dry_run=dry_run):
        judged, signed = _judged(project, chosen), _signed(project, chosen)
        # What the policy here does not believe is not handed on either.
        files = project.registry.open_files(chosen)
        sent = Sent(digest="", blobs=0, already_there=0)
        if not dry_run:
            with (
                progress.start(f"Sending {chosen.ref}", _size(chosen), "bytes") as task,
                repository_at(project, place, task) as repository,
            ):
                sent = send(
                    repository,
                    chosen.manifest,
                    files,
                    tag=tag,
                    attachments=(*judged, *signed),
                    replace=force,
                )
            detail = {"to": str(place), "artifact": sent.digest}
            tell(trail, Entry(what="version.push", object=chosen.ref, detail=detail))
    return Pushed(
        version=chosen.ref,
        address=str(place),
        digest=sent.digest,
        blobs=sent.blobs,
        already_there=sent.already_there,
        evidence=len(judged),
        signatures=len(signed),
        size_bytes=_size(chosen),
    )


def _size(version: Version) -> int:
    return sum(entry.size_bytes for entry in version.manifest.files)


def _judged(project: Project, version: Version) -> tuple[Attachment, ...]:
    """What was judged about *version* in this store; nothing from elsewhere."""
    records = project.registry.evidence(version.model, version.number)
    return tuple(evidence_attachment(one) for one in records if one.kind != FROM_ELSEWHERE)


def _signed(project: Project, version: Version) -> tuple[Attachment, ...]:
    signing = project.registry.signing
    return tuple(
        signature_attachment(signing.stored(record)) for record in signing.records(version)
    )
