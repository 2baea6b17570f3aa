"""The settings of ``[sign]`` and ``[trust]``, declared as ``settings`` does: who signs, and who is
believed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

_WHO = r"(key:[0-9a-f]{64}|certificate:([0-9a-f]{64}|\S.* by \S.*))"

Text = Annotated[str, Meta(min_length=1)]
KeyAddress = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9+.-]*:\S")]
Identity = Annotated[str, Meta(pattern=rf"^[a-z0-9._*?\[\]-]+ *= *{_WHO}$")]
Revoked = Annotated[str, Meta(pattern=rf"^{_WHO}$")]
Listed = Annotated[str, Meta(pattern=r"^(sha256:[0-9a-f]{64}|[a-z0-9._*?\[\]-]+)$")]

_ADVANCED = {"advanced": True}


class TrustChoice(StrEnum):
    """What happens to a version that nobody whom the policy names has signed."""

    OFF = "off"
    WARN = "warn"
    REQUIRE = "require"


class SignSettings(msgspec.Struct, frozen=True, kw_only=True):
    """With which key versions are signed when they are published."""

    key: Annotated[
        KeyAddress | None,
        Meta(
            description="the key that signs",
            extra={
                "allowed": "file:PATH, env:VARIABLE, command:PROGRAM, or the address of a kind"
                " that is installed",
                "default": "a key in the store, made at its first use",
            },
        ),
    ] = None
    certificate: Annotated[
        Text | None,
        Meta(
            description="the file of the key's certificate and those that lead to its authority"
            " (PEM)",
            extra=_ADVANCED,
        ),
    ] = None


class TrustSettings(msgspec.Struct, frozen=True, kw_only=True):
    """By whom a version must be signed, so that it is loaded."""

    mode: Annotated[
        TrustChoice | None,
        Meta(
            description="whether what nobody named has signed is refused, warned of, or not"
            " looked at",
            extra={
                **_ADVANCED,
                "default": "require where identities are named; else a signature that is there"
                " must be good",
            },
        ),
    ] = None
    identities: Annotated[
        tuple[Identity, ...],
        Meta(
            description="whose signatures are believed, by a pattern of the model's name",
            extra={
                "allowed": 'a list of text, as in ["* = key:3a7b…",'
                ' "fraud-* = certificate:CN=release,O=Example by CN=Example CA"]'
            },
        ),
    ] = ()
    revoked: Annotated[
        tuple[Revoked, ...],
        Meta(
            description="whose signatures are believed no more, certificates on the way included",
            extra={**_ADVANCED, "allowed": 'a list of text, as in ["key:3a7b…"]'},
        ),
    ] = ()
    authorities: Annotated[
        Text | None,
        Meta(
            description="the file of the authorities that signers' certificates must lead to (PEM)",
            extra=_ADVANCED,
        ),
    ] = None
    pickle: Annotated[
        tuple[Listed, ...],
        Meta(
            description="models, or files by digest, that may hold a pickle if a named identity"
            " signed them",
            extra={
                **_ADVANCED,
                "allowed": 'a list of text, as in ["churn-*", "sha256:9f86…"]',
            },
        ),
    ] = ()
