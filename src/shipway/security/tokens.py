"""JSON Web Tokens: what is read of them, and what must hold before one is believed.

Written after RFC 8725. The algorithm is one of those allowed in the settings, all of them
asymmetric, and must fit the type of a key that the issuer publishes; nothing in a token says
where a key is (``jku``, ``x5u``, ``jwk``, ``x5c`` are not looked at). What is said in the token
is believed only after its signature was. The arithmetic is joserfc's; taking the token apart is
done here, because a header that is read twice by two parsers may be two headers.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from types import MappingProxyType
from typing import Any

from shipway.errors import NotAuthenticated
from shipway.security.callers import FOREVER, Caller
from shipway.security.policy import Scope
from shipway.security.signers import Signer

LEEWAY = timedelta(seconds=60)
_LONGEST = 8192
_LONGEST_SUBJECT = 255
_LATEST_S = FOREVER.timestamp() - 86_400
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_NAMES = ("client_id", "azp", "name")
_ASK = "ask the issuer for a new token"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Which tokens are believed: of whom, for whom, signed how, and what their claims allow.

    ``claim`` names the claim that is mapped by ``grants``, a dotted path where it lies deeper; a
    token with nothing that is mapped has no scope.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str]
    claim: str = "scope"
    grants: Mapping[str, tuple[Scope, ...]] = field(default_factory=lambda: MappingProxyType({}))
    leeway: timedelta = LEEWAY


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token whose header is one that may be looked into; nothing else of it is known."""

    algorithm: str
    key_id: str | None
    signed: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def believed(
        self,
        signers: Iterable[Signer],
        rules: TokenRules,
        now: datetime,
        *,
        nonce: str | None = None,
    ) -> Caller:
        """The caller that the token tells of, if one of *signers* signed it and *rules* allow it.

        With a *nonce* it must be the identity token that was asked for with that (OpenID Connect
        Core 1.0, 3.1.3.7). Raises :class:`~shipway.errors.NotAuthenticated`.
        """
        if not any(
            signer.signed(self.algorithm, self.signed, self.signature) for signer in signers
        ):
            raise NotAuthenticated("the token's signature is not good", next_step=_ASK)
        claims = _object(self.payload, "payload")
        if nonce is not None:
            _check_asked_for(claims, rules.audience, nonce)
        return _caller(claims, rules, now)


def read_token(text: str, rules: TokenRules) -> UnverifiedToken:
    """*text* taken apart, its header checked.

    Raises :class:`~shipway.errors.NotAuthenticated`, never with the token in it.
    """
    match = _COMPACT.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise NotAuthenticated(
            f"what was sent as a token, {len(text)} characters, is none in the compact form",
            next_step="send the access token as it came from the issuer",
        )
    parts = [_bytes(part) for part in match.groups()]
    header = _object(parts[0], "header")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise NotAuthenticated(
            "the token is not signed by an algorithm that is allowed here",
            next_step=f"have it signed by one of {', '.join(sorted(rules.algorithms))}",
        )
    if "crit" in header or "b64" in header:
        raise NotAuthenticated("the token's header demands what is not known here", next_step=_ASK)
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise NotAuthenticated("this is a token of another kind", next_step="send an access token")
    if not isinstance(key_id, str | None):
        raise NotAuthenticated("the token's kid is not text", next_step=_ASK)
    signed = text.rpartition(".")[0].encode("ascii")
    return UnverifiedToken(algorithm, key_id, signed, parts[1], parts[2])


def _check_asked_for(claims: dict[str, Any], client: str, nonce: str) -> None:
    told, party = claims.get("nonce"), claims.get("azp", client)
    if not isinstance(told, str) or not compare_digest(told.encode(), nonce.encode()):
        raise NotAuthenticated("the token answers another login", next_step=_ASK)
    several = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
    if party != client or (several and "azp" not in claims):
        raise NotAuthenticated("the token was given to another client", next_step=_ASK)


def _caller(claims: dict[str, Any], rules: TokenRules, now: datetime) -> Caller:
    if claims.get("iss") != rules.issuer:
        raise NotAuthenticated("the token is of another issuer", next_step=_ASK)
    audience = claims.get("aud")
    meant = audience if isinstance(audience, list) else [audience]
    if rules.audience not in meant:
        raise NotAuthenticated(
            "the token is meant for somebody else",
            next_step=f"ask the issuer for one with the audience {rules.audience}",
        )
    ends = _time(claims, "exp")
    if ends is None:
        raise NotAuthenticated("the token has no end (exp)", next_step=_ASK)
    if now >= ends + rules.leeway:
        raise NotAuthenticated("the token has expired", next_step=_ASK)
    for claim in ("nbf", "iat"):
        begins = _time(claims, claim)
        if begins is not None and now < begins - rules.leeway:
            raise NotAuthenticated(
                f"the token is not good yet ({claim})",
                next_step="wait, or set the clocks of the issuer and of this server right",
            )
    subject = claims.get("sub")
    if not _is_name(subject, _LONGEST_SUBJECT):
        raise NotAuthenticated("the token does not say whose it is (sub)", next_step=_ASK)
    issuer = sha256(rules.issuer.encode()).hexdigest()[:8]
    name = next((claims[claim] for claim in _NAMES if _is_name(claims.get(claim), 100)), "")
    return Caller(
        f"jwt:{issuer}:{subject}",
        name,
        _granted(_values(claims, rules.claim), rules.grants),
        ends + rules.leeway,
    )


def _granted(values: Iterable[str], grants: Mapping[str, tuple[Scope, ...]]) -> tuple[Scope, ...]:
    granted = {scope for value in values for scope in grants.get(value, ())}
    return tuple(scope for scope in Scope if scope in granted)


def _values(claims: Mapping[str, Any], claim: str) -> Sequence[str]:
    """The values of *claim*: words of a text (RFC 8693, 4.2), or a list of texts."""
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for step in claim.split("."):
            found = found.get(step) if isinstance(found, dict) else None
    if isinstance(found, str):
        return found.split(" ")
    if isinstance(found, list):
        return [value for value in found if isinstance(value, str)]
    return ()


def _time(claims: Mapping[str, Any], claim: str) -> datetime | None:
    """The moment that *claim* names; None where it is missing. Anything else is refused."""
    if claim not in claims:
        return None
    value = claims[claim]
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST_S:
        return datetime.fromtimestamp(value, UTC)
    raise NotAuthenticated(f"the token's {claim} is not a time", next_step=_ASK)


def _is_name(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def _bytes(part: str) -> bytes:
    """Base64url without padding, in the one spelling that RFC 4648 (3.5) has for the bytes."""
    try:
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        data = b""
    if urlsafe_b64encode(data).rstrip(b"=") != part.encode("ascii"):
        raise NotAuthenticated("the token is not base64url", next_step=_ASK)
    return data


def _object(data: bytes, part: str) -> dict[str, Any]:
    """A JSON object in which no name comes twice; RFC 8725 asks for one reading, not two."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise NotAuthenticated(f"the token's {part} is not JSON", next_step=_ASK) from error
    if not isinstance(value, dict):
        raise NotAuthenticated(f"the token's {part} is not a JSON object", next_step=_ASK)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name comes twice")
    return made


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
