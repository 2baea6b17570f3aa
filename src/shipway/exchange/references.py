"""Where an artefact is: a registry, a repository in it, and a tag or a digest.

The registry is always named: a reference without one means another place for every tool. So is
the tag, and never ``latest``: what it means changes under whoever relies on it.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from shipway.errors import UsageError

# The grammar of references of the OCI distribution-spec: names of repositories, and tags.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])"
_REFERENCE = re.compile(
    rf"(?P<registry>{_HOST}(?::[0-9]{{1,5}})?)/(?P<repository>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LONGEST = 512
SCHEME = "oci://"
_FORM = (
    "write registry/name:tag, as in registry.example/models/flight-delay:3, or the path of a folder"
    " that begins with ./ or /"
)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """One artefact in a registry: by ``digest`` where that is given, by ``tag`` otherwise."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def key(self) -> str:
        """What a registry is asked for: the digest, else the tag."""
        return self.digest or self.tag

    @property
    def host(self) -> str:
        """The registry without its port."""
        host, _, port = self.registry.rpartition(":")
        return host if port.isdigit() else self.registry

    @property
    def is_here(self) -> bool:
        """Whether the registry is on this machine, where a plain connection tells nobody."""
        return is_loopback(self.host)

    def at(self, digest: str) -> Reference:
        """The same repository, by *digest*: it means the same bytes for ever."""
        return Reference(registry=self.registry, repository=self.repository, digest=digest)


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("registry.example")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def target(text: str) -> Reference:
    """Where to send to: a registry, a repository and a tag of its own.

    Raises :class:`~shipway.errors.UsageError` for a digest, for ``latest`` and for no tag.
    """
    found = _parsed(text)
    if found.digest:
        raise UsageError(
            f"{text!r} names a digest, which is made by what is sent",
            next_step="name a tag: registry/name:tag",
        )
    return _tagged(found, text)


def source(text: str) -> Reference:
    """Where to fetch from: a tag of its own, or a digest.

    Raises :class:`~shipway.errors.UsageError` for ``latest`` and for neither.
    """
    found = _parsed(text)
    return found if found.digest else _tagged(found, text)


def _parsed(text: str) -> Reference:
    bare = text.removeprefix(SCHEME)
    match = _REFERENCE.fullmatch(bare) if len(text) <= _LONGEST else None
    if match is None:
        raise UsageError(f"{text[:200]!r} does not name an artefact", next_step=_FORM)
    host = match["registry"]
    if "." not in host and ":" not in host and host != "localhost":
        raise UsageError(
            f"{text!r} does not say which registry is meant ({host!r} is the name of none)",
            next_step=_FORM,
        )
    return Reference(
        registry=host,
        repository=match["repository"],
        tag=match["tag"] or "",
        digest=match["digest"] or "",
    )


def _tagged(found: Reference, text: str) -> Reference:
    if found.tag in ("", "latest"):
        raise UsageError(
            f"{text!r} means another version every time one is pushed",
            next_step="name a tag of its own, such as :3, or a digest: name@sha256:...",
        )
    return found
