"""The settings of ``[auth]``, declared as ``settings`` does: who may call, and how often."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

SCOPES = (
    *("predict", "label", "view", "publish", "approve"),
    *("viewer", "predictor", "author", "approver", "admin"),
)
"""What a caller may be granted: rights, then roles (``security.policy`` says what they allow)."""

_SCOPE = f"({'|'.join(SCOPES)})"
_SCOPES = rf"{_SCOPE}( +{_SCOPE})*"

Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
PerSecond = Annotated[float, Meta(gt=0, le=1e9)]
SafeAddress = Annotated[
    str,
    Meta(
        pattern=r"^(https://[^\s/@?#\\]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)"
        r"(/[^\s?#\\]*)?$"
    ),
]
Grant = Annotated[str, Meta(pattern=rf"^.*\S *= *{_SCOPES}$")]
CertificateGrant = Annotated[str, Meta(pattern=rf"^(uri|dns|email):\S+ *= *{_SCOPES}$")]
CallerRate = Annotated[str, Meta(pattern=r"^\S.* *= *[0-9]+(\.[0-9]+)?$")]

_ADVANCED = {"advanced": True}
_GRANTS = {
    "allowed": 'a list of text, as in ["ml.read = predict", "ml.ops = viewer label"];'
    f" rights and roles are {', '.join(SCOPES)}"
}
_SAFE_ADDRESS = {"allowed": "an address beginning with https://, or with http:// on this machine"}


class TokenAlgorithm(StrEnum):
    """How a token may be signed: by a private key, which this server does not have."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"
    ED25519 = "Ed25519"


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call besides those who have a key, and how often each may."""

    issuer: Annotated[
        SafeAddress | None,
        Meta(
            description="the OpenID issuer whose tokens are taken, exactly as its tokens say it",
            extra=_SAFE_ADDRESS,
        ),
    ] = None
    audience: Annotated[
        Text | None, Meta(description="what a token's `aud` must name: this server")
    ] = None
    scopes: Annotated[
        tuple[Grant, ...],
        Meta(
            description="what a value of the claim allows; a token without any may do nothing",
            extra=_GRANTS,
        ),
    ] = ()
    claim: Annotated[
        Text,
        Meta(
            description="the claim whose values `scopes` maps; dots lead deeper, as in"
            " `realm_access.roles`",
            extra=_ADVANCED,
        ),
    ] = "scope"
    jwks_url: Annotated[
        SafeAddress | None,
        Meta(
            description="where the issuer's public keys are",
            extra={**_SAFE_ADDRESS, **_ADVANCED, "default": "as the issuer's discovery says"},
        ),
    ] = None
    algorithms: Annotated[
        Annotated[tuple[TokenAlgorithm, ...], Meta(min_length=1)],
        Meta(
            description="how a token may be signed",
            extra={**_ADVANCED, "allowed": f"a list of {', '.join(TokenAlgorithm)}"},
        ),
    ] = (TokenAlgorithm.RS256, TokenAlgorithm.ES256, TokenAlgorithm.EDDSA)
    client_id: Annotated[
        Text | None,
        Meta(
            description="what the issuer calls this server where people log in, at /login of the"
            " control port; without it nobody does",
        ),
    ] = None
    client_secret_file: Annotated[
        Text | None,
        Meta(
            description="the file of the secret that the issuer gave with it",
            extra={**_ADVANCED, "default": "none: a public client"},
        ),
    ] = None
    public_url: Annotated[
        SafeAddress | None,
        Meta(
            description="how browsers call the control port, where a proxy stands before it",
            extra={**_SAFE_ADDRESS, **_ADVANCED, "default": "as the browser did"},
        ),
    ] = None
    session_s: Annotated[
        Annotated[float, Meta(ge=60, le=604_800)],
        Meta(description="time after which one who logged in must do so again", extra=_ADVANCED),
    ] = 28_800.0
    refresh_s: Annotated[
        Seconds,
        Meta(description="time after which the issuer's keys are fetched anew", extra=_ADVANCED),
    ] = 300.0
    max_age_s: Annotated[
        Annotated[float, Meta(ge=60, le=2_592_000)],
        Meta(
            description="time for which the issuer's keys are good while it cannot be reached",
            extra=_ADVANCED,
        ),
    ] = 86_400.0
    certificates: Annotated[
        tuple[CertificateGrant, ...],
        Meta(
            description="what callers with a client certificate may do, by a name in it",
            extra={
                "allowed": 'a list of text, as in ["uri:spiffe://example.org/web = predict",'
                ' "dns:batch.example.org = predict label"]'
            },
        ),
    ] = ()
    requests_per_s: Annotated[
        PerSecond | None,
        Meta(
            description="predictions that one caller may ask for in a second, on all workers",
            extra={"default": "no limit"},
        ),
    ] = None
    burst: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000_000)] | None,
        Meta(
            description="requests that one caller may make at once after a pause",
            extra={**_ADVANCED, "default": "those of one second"},
        ),
    ] = None
    rows_per_s: Annotated[
        PerSecond | None,
        Meta(
            description="rows that one caller may send in a second, those of ten seconds at once",
            extra={**_ADVANCED, "default": "no limit"},
        ),
    ] = None
    special_requests_per_s: Annotated[
        tuple[CallerRate, ...],
        Meta(
            description="callers, by the id that events know them by, with a rate of their own",
            extra={**_ADVANCED, "allowed": 'a list of text, as in ["a1B2c3D4e5F6 = 500"]'},
        ),
    ] = ()

    @property
    def known_callers(self) -> bool:
        """Whether somebody without a key can say who he is."""
        return self.issuer is not None or bool(self.certificates)
