"""The grammar of image references: what may stand after ``FROM`` and after ``--tag``.

Everything that enters a Dockerfile passes through here or through ``domain.names``, because a
newline in a base image is a second instruction (CVE-2026-44345) and a leading ``-`` an option.
"""

from __future__ import annotations

import re

from shipway.errors import UsageError

# distribution/reference grammar: domain/path components, tag, digest.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LONGEST = 512


def check_base_image(reference: str) -> str:
    """Return *reference* unchanged if it names one image for good: with a tag or a digest.

    Raises :class:`~shipway.errors.UsageError` for anything outside the grammar, for ``:latest``
    and for a reference without a tag, which means ``:latest``.

    >>> check_base_image("python:3.11-slim")
    'python:3.11-slim'
    """
    found = _match(reference, "base image")
    if found["digest"] is None and found["tag"] in (None, "latest"):
        raise UsageError(
            f"the base image {reference!r} would be another one every time it is built",
            next_step="name a tag such as python:3.11-slim, or better a digest: name@sha256:...",
        )
    return reference


def check_tag(reference: str) -> str:
    """Return *reference* unchanged if a built image may be called so: ``name:tag``, no digest.

    >>> check_tag("localhost/flight-delay:3")
    'localhost/flight-delay:3'
    """
    found = _match(reference, "image name")
    if found["digest"] is not None or found["tag"] in (None, "latest"):
        raise UsageError(
            f"the image name {reference!r} needs a tag of its own",
            next_step="write it as name:tag, for example flight-delay:3",
        )
    return reference


def _match(reference: str, what: str) -> re.Match[str]:
    found = _REFERENCE.fullmatch(reference) if len(reference) <= _LONGEST else None
    if found is None:
        raise UsageError(
            f"{reference[:200]!r} is not a {what}",
            next_step="write it as [registry/]name:tag or [registry/]name:tag@sha256:<64 digits>",
        )
    return found
