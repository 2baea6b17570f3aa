"""``pull``: a version from a registry, verified to the last byte, into the store.

Its number is the next one here. What was judged about it elsewhere is kept and shown, as
evidence of a kind that no gate takes for its own (ADR 0025).
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from shipway.api.push import FROM_ELSEWHERE
from shipway.api.tag import tag_when_asked
from shipway.bootstrap.exchanging import limits_of, registry_of
from shipway.bootstrap.project import Project
from shipway.domain.digests import digest_of
from shipway.domain.names import check_name
from shipway.domain.progress import SILENT, Progress
from shipway.errors import ModelFileError
from shipway.exchange.attachments import EVIDENCE_TYPE, Evidence, read_evidence
from shipway.exchange.pulling import Fetched
from shipway.exchange.pulling import pull as fetch
from shipway.exchange.references import source
from shipway.registry.manifests import manifest_bytes
from shipway.registry.records import Version


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What was judged about a version elsewhere."""

    kind: str
    verdict: str
    at: datetime


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """A version that came in: ``new`` says that the store did not have it.

    ``artifact`` is its digest where it came from. ``version`` is "" when nothing was published.
    """

    version: str
    address: str
    artifact: str
    digest: str
    new: bool
    files: int
    size_bytes: int
    claims: tuple[Claim, ...]


def pull(
    project: Project,
    address: str,
    *,
    model: str | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Pulled:
    """The version at *address*, ``oci://registry/name:tag`` or ``…@sha256:…``, in the store.

    It must be one of the project's model, or of *model*. Raises
    :class:`~shipway.errors.ModelFileError` with all that is wrong with it,
    :class:`~shipway.errors.DigestMismatch`, :class:`~shipway.errors.TooLarge`,
    :class:`~shipway.errors.NotFoundError`, :class:`~shipway.errors.AccessError` and
    :class:`~shipway.errors.EnvironmentFailure`; nothing is left in the store then.
    """
    reference = source(address)
    name = check_name(model, what="model name") if model else project.model
    with (
        progress.start(f"Fetching {reference}", None, "bytes") as task,
        registry_of(project, reference, task) as repository,
    ):
        where = f"oci://{reference}"
        fetched = fetch(
            repository, reference.key, where=where, limits=limits_of(project), model=name
        )
    if not isinstance(fetched, Fetched):
        raise ModelFileError(
            f"{where} was made by another tool, and has no manifest of Shipway's",
            next_step=f"copy it (`skopeo copy docker://{reference} oci-archive:model.tar`), then"
            " `shipway import model.tar`",
        )
    return enter(project, fetched, where, dry_run=dry_run)


def enter(project: Project, fetched: Fetched, where: str, *, dry_run: bool) -> Pulled:
    """Publish *fetched*, and note what was judged about it elsewhere."""
    said = [read_evidence(one) for one in fetched.attachments if one.type == EVIDENCE_TYPE]
    manifest = fetched.manifest
    known = {one.digest for one in project.registry.versions(manifest.model)}
    version = None
    if not dry_run:
        version = project.registry.publish(
            manifest, fetched.files, by=project.who, now=project.clock()
        )
        _note(project, version, said, where)
        tag_when_asked(project)
    digest = version.digest if version else digest_of(manifest_bytes(manifest))
    return Pulled(
        version=version.ref if version else "",
        address=where,
        artifact=fetched.digest,
        digest=digest,
        new=digest not in known,
        files=len(fetched.files),
        size_bytes=sum(map(len, fetched.files.values())),
        claims=tuple(
            Claim(kind=one.kind, verdict=one.verdict, at=one.created_at) for one in said
        ),
    )


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
