"""Where an artefact is sent to or fetched from: a registry, or an OCI image layout on this machine.

A path is told from a reference by how it begins (``.``, ``/`` or ``~``), or by being there; what
begins with ``oci://`` is never one.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from shipway.errors import UsageError
from shipway.exchange.references import SCHEME, Reference, source, target

_KEY = re.compile(
    r"(?P<path>.+?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII | re.DOTALL,
)


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """An artefact in the layout at ``path``: by digest, by tag, or with neither the only one."""

    path: Path
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.path}{tag}{digest}"

    @property
    def key(self) -> str:
        """What the layout is asked for."""
        return self.digest or self.tag


Place = Reference | Local


def place_to_send(text: str) -> Place:
    """Where to send to; raises :class:`~shipway.errors.UsageError` as ``references`` does."""
    local = _local(text)
    if local is None:
        return target(text)
    if local.digest:
        raise UsageError(
            f"{text!r} names a digest, which is made by what is sent",
            next_step=f"name the folder alone, or a tag: {local.path}:3",
        )
    return local


def place_to_fetch(text: str) -> Place:
    """Where to fetch from; raises :class:`~shipway.errors.UsageError` as ``references`` does."""
    return _local(text) or source(text)


def _local(text: str) -> Local | None:
    if not text or text.startswith(SCHEME) or "\0" in text:
        return None
    whole = Path(text).expanduser()
    if whole.exists():
        return Local(path=whole)
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    path = Path(match["path"]).expanduser()
    if not (text.startswith((".", "/", "~")) or path.exists()):
        return None
    return Local(path=path, tag=match["tag"] or "", digest=match["digest"] or "")
