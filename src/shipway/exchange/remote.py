"""A repository in a registry, by the API of the OCI distribution-spec 1.1.

Blobs that are there are not sent again. A large one goes up in parts, each continued from where
the registry says that it stands, and comes down from where it broke off. A registry that knows
no referrers (Debian's is one) gets them under the tag that the specification falls back on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

import httpx
import msgspec

from shipway.domain.digests import digest_of
from shipway.errors import DigestMismatch, EnvironmentFailure, NotFoundError
from shipway.exchange.references import Reference
from shipway.exchange.repository import MOST_MANIFEST_BYTES, About
from shipway.exchange.session import ATTEMPTS, Session
from shipway.registry.oci import (
    IMAGE_TYPE,
    INDEX_TYPE,
    Descriptor,
    Index,
    hex_of,
    image_descriptor,
    index_bytes,
)

PART_BYTES = 8 << 20
"""A blob up to this size goes up in one request."""

_THERE = frozenset({200, 404})
_ACCEPT = {"Accept": f"{IMAGE_TYPE}, {INDEX_TYPE}"}
_OCTETS = {"Content-Type": "application/octet-stream"}
Moved = Callable[[int], None]


class RemoteRepository:
    """A :class:`~shipway.exchange.repository.Repository` behind *session*.

    *moved* is told of bytes that went over the wire, as they do.
    """

    def __init__(
        self, reference: Reference, session: Session, *, moved: Moved = lambda _: None
    ) -> None:
        self._reference = reference
        self._session = session
        self._moved = moved

    def put_blob(self, content: bytes) -> bool:
        """See the port."""
        digest = digest_of(content)
        if self._has(digest):
            return False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._upload(content, digest)
            except EnvironmentFailure:
                if attempt == ATTEMPTS:
                    raise
                self._session.pause(attempt)
                if self._has(digest):  # its last answer was lost, and nothing else
                    break
            else:
                break
        return True

    def blob(self, descriptor: Descriptor) -> bytes:
        """See the port. What broke off goes on where it was (RFC 9110, Range)."""
        hex_of(descriptor.digest)  # nothing else may become part of an address
        url = f"{self._session.base}/blobs/{descriptor.digest}"
        body = bytearray()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._receive(url, body, descriptor.size)
            except httpx.TransportError:
                self._session.pause(attempt)
                continue
            if len(body) >= descriptor.size:
                break
        found = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if (found, len(body)) != (descriptor.digest, descriptor.size):
            raise DigestMismatch(
                f"{self._reference}: what the registry keeps under {descriptor.digest} is"
                f" something else, of {len(body):,} bytes where {descriptor.size:,} are due",
                next_step="push the version again; nothing was taken from what was received",
            )
        return bytes(body)

    def put_manifest(self, content: bytes, *, tag: str = "") -> None:
        """See the port."""
        key = tag or digest_of(content)
        answer = self._session.ask(
            "PUT",
            self._manifest_url(key),
            headers={"Content-Type": IMAGE_TYPE},
            content=content,
            good=frozenset({201}),
        )
        told = answer.headers.get("Docker-Content-Digest", "")
        if told and told != digest_of(content):
            raise DigestMismatch(
                f"{self._reference.registry} keeps the manifest under {told}, and it is"
                f" {digest_of(content)}",
                next_step="look at what stands between here and the registry",
            )
        about = msgspec.json.decode(content, type=About)
        if about.subject is not None and "OCI-Subject" not in answer.headers:
            self._list_under_tag(about.subject.digest, content, about.artifact_type)

    def manifest(self, key: str) -> bytes:
        """See the port."""
        answer = self._session.ask(
            "GET",
            self._manifest_url(key),
            headers=_ACCEPT,
            good=_THERE,
            most_bytes=MOST_MANIFEST_BYTES,
        )
        if answer.status != 200:
            raise NotFoundError(
                f"{self._reference.registry} has no {self._reference.repository} {key}",
                next_step="check the reference: registry/name:tag",
            )
        if ":" in key and digest_of(answer.body) != key:
            raise DigestMismatch(
                f"{self._reference}: the registry answered with {digest_of(answer.body)}",
                next_step="do not use this registry before it is looked at",
            )
        return answer.body

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """See the port. An answer in pages is read to its end."""
        url = f"{self._session.base}/referrers/{digest}"
        found: list[Descriptor] = []
        while True:
            answer = self._session.ask(
                "GET", url, headers=_ACCEPT, good=_THERE, most_bytes=MOST_MANIFEST_BYTES
            )
            if answer.status != 200:
                return self._tagged_referrers(digest)
            found += _listed(answer.body)
            following = httpx.Response(200, headers=answer.headers).links.get("next")
            if following is None or len(found) > 10_000:
                return tuple(found)
            url = self._session.absolute(following["url"])

    def _has(self, digest: str) -> bool:
        url = f"{self._session.base}/blobs/{digest}"
        return self._session.ask("HEAD", url, good=_THERE).status == 200

    def _upload(self, content: bytes, digest: str) -> None:
        begun = self._session.ask(
            "POST", f"{self._session.base}/blobs/uploads/", good=frozenset({202})
        )
        location = self._session.absolute(begun.headers.get("Location", ""))
        sent = 0
        while len(content) - sent > PART_BYTES:
            location, sent = self._part(location, content, sent)
        rest = content[sent:]
        url = str(httpx.URL(location).copy_merge_params({"digest": digest}))
        self._session.ask(
            "PUT", url, headers=_OCTETS, content=rest, good=frozenset({201}), attempts=1
        )
        self._moved(len(rest))

    def _part(self, location: str, content: bytes, sent: int) -> tuple[str, int]:
        """Send one part; where the next goes, and how far the registry has come."""
        part = content[sent : sent + PART_BYTES]
        headers = {**_OCTETS, "Content-Range": f"{sent}-{sent + len(part) - 1}"}
        try:
            answer = self._session.ask(
                "PATCH", location, headers=headers, content=part, good=frozenset({202}), attempts=1
            )
        except EnvironmentFailure:  # the part may have come through, in whole or in part
            answer = self._session.ask("GET", location, good=frozenset({204}))
        location = self._session.absolute(answer.headers.get("Location", location))
        reached = _reached(answer.headers.get("Range", ""))
        if not sent <= reached <= len(content):
            raise EnvironmentFailure(
                f"{self._reference.registry} has {reached:,} bytes of an upload where {sent:,}"
                " were sent",
                next_step="look at the registry's log, then try again",
            )
        self._moved(reached - sent)
        return location, reached

    def _receive(self, url: str, body: bytearray, size: int) -> None:
        """Go on with *body*, to *size* bytes and one more, by which a longer one is known."""
        headers = {"Range": f"bytes={len(body)}-"} if body else {}
        with self._session.asking(
            "GET", url, headers=headers, good=frozenset({200, 206, 404, 416})
        ) as response:
            if response.status_code == 404:
                raise NotFoundError(
                    f"{self._reference.registry} has lost a blob of {self._reference}",
                    next_step="push the version again",
                )
            if response.status_code == 416:
                return
            if response.status_code == 200:
                body.clear()
            for piece in response.iter_raw():
                body += piece
                self._moved(len(piece))
                if len(body) > size:
                    return

    def _list_under_tag(self, subject: str, content: bytes, artifact_type: str) -> None:
        """Add a manifest to the index that stands for the referrers of *subject*."""
        one = msgspec.structs.replace(image_descriptor(content), artifact_type=artifact_type)
        known = [each for each in self._tagged_referrers(subject) if each.digest != one.digest]
        self._session.ask(
            "PUT",
            self._manifest_url(_fallback(subject)),
            headers={"Content-Type": INDEX_TYPE},
            content=index_bytes((*known, one)),
            good=frozenset({201}),
        )

    def _tagged_referrers(self, digest: str) -> tuple[Descriptor, ...]:
        with suppress(NotFoundError):
            return _listed(self.manifest(_fallback(digest)))
        return ()

    def _manifest_url(self, key: str) -> str:
        return f"{self._session.base}/manifests/{key}"


def _fallback(digest: str) -> str:
    """The tag under which referrers of *digest* are listed (distribution-spec 1.1)."""
    return f"sha256-{hex_of(digest)}"


def _reached(told: str) -> int:
    """How many bytes there are by a ``Range`` header of the form ``0-<last>``."""
    last = told.rpartition("-")[2]
    # Registries say 0-0 for nothing as well as for one byte.
    return int(last) + 1 if last.isdigit() and last != "0" else 0


def _listed(content: bytes) -> tuple[Descriptor, ...]:
    try:
        return msgspec.json.decode(content, type=Index).manifests
    except (msgspec.DecodeError, RecursionError) as error:
        raise EnvironmentFailure(
            "the registry's list of what refers to the artefact cannot be read",
            next_step="look at the registry's log",
        ) from error
