"""``push``: a version as an artefact in a registry, in the form of CNCF ModelPack."""

from __future__ import annotations

import msgspec

from shipway.api.score import version_or_live
from shipway.bootstrap.exchanging import registry_of
from shipway.bootstrap.project import Project
from shipway.domain.progress import SILENT, Progress
from shipway.exchange.attachments import Attachment, evidence_attachment
from shipway.exchange.pushing import push as send
from shipway.exchange.references import target
from shipway.registry.records import Version

FROM_ELSEWHERE = "elsewhere"
"""The kind of evidence that came with a version; no gate takes it for its own."""


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent where: ``address`` names it by its tag, ``digest`` for ever.

    ``already_there`` of its ``blobs`` were not sent, because the registry had them.
    """

    version: str
    address: str
    digest: str
    blobs: int
    already_there: int
    evidence: int
    size_bytes: int


def push(
    project: Project,
    address: str,
    *,
    version: str | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Pushed:
    """Send the live version (or *version*) to *address*, ``oci://registry/name:tag``.

    With it goes what was judged about it here. A tag that is another artefact moves only with
    *force*. Raises :class:`~shipway.errors.UsageError` for an address of another form,
    :class:`~shipway.errors.ConflictError`, :class:`~shipway.errors.AccessError` and
    :class:`~shipway.errors.EnvironmentFailure`.
    """
    reference = target(address)
    chosen = version_or_live(project, version)
    size_bytes = sum(entry.size_bytes for entry in chosen.manifest.files)
    said = attachments_of(project, chosen)
    files = project.registry.open_files(chosen)
    with (
        progress.start(f"Sending {chosen.ref}", size_bytes, "bytes") as task,
        registry_of(project, reference, task) as repository,
    ):
        sent = send(
            repository,
            chosen.manifest,
            files,
            tag=reference.tag,
            attachments=said,
            replace=force,
        )
    return Pushed(
        version=chosen.ref,
        address=f"oci://{reference}",
        digest=sent.digest,
        blobs=sent.blobs,
        already_there=sent.already_there,
        evidence=len(said),
        size_bytes=size_bytes,
    )


def attachments_of(project: Project, version: Version) -> tuple[Attachment, ...]:
    """What was judged about *version* in this store, as it travels; nothing from elsewhere."""
    records = project.registry.evidence(version.model, version.number)
    return tuple(evidence_attachment(one) for one in records if one.kind != FROM_ELSEWHERE)
