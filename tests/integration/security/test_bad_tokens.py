"""Tokens that must not be believed, each for one reason, and the good ones beside them."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.issuers import (
    AUDIENCE,
    LocalIssuer,
    claims,
    decoded,
    encoded,
    key,
    local_issuer,
    public,
    sign,
    token,
    weak_public,
    weak_token,
)
from tests.serving_rig import eventually

from shipway.errors import IssuerUnreachable, NotAuthenticated
from shipway.security.issuer import Issuer, IssuerOptions
from shipway.security.policy import Scope
from shipway.security.tokens import TokenRules
from shipway.serving.access import Access, Admission, Credentials

GRANTS = {"ml.read": (Scope.PREDICT,), "ml.ops": (Scope.VIEW, Scope.LABEL)}


def now() -> int:
    """The seconds since 1970, when it is asked: tests may run long after they were collected."""
    return int(time.time())


@dataclass
class Desk:
    """A server that takes tokens of one issuer."""

    issuer: LocalIssuer
    access: Access

    @property
    def url(self) -> str:
        """The issuer, as its tokens say it."""
        return self.issuer.url

    def ask(self, text: str) -> Any:
        """The caller of the token *text*, asked again as long as that is the answer."""
        sent = {b"authorization": b"Bearer " + text.encode("latin-1", "replace")}
        for _ in range(2000):
            try:
                return self.access.identify(Credentials(sent))
            except IssuerUnreachable:
                time.sleep(0.005)
        raise AssertionError("the keys never came")


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A desk whose issuer has published its keys: one of each kind, and some that are no use."""
    with local_issuer() as local:
        local.keys += [
            public("EC", 7, "for-encryption", use="enc"),
            public("EC", 8, "other-operation", key_ops=["sign"]),
            public("RSA", 9, "other-algorithm", alg="RS384"),
            {"kty": "oct", "kid": "shared", "k": encoded(b"s" * 32)},
            weak_public(),
            public("OKP", 1),
            {"kty": "EC", "kid": "broken", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "new", "kid": "unknown-kind"},
            "no key",
        ]
        rules = TokenRules(
            issuer=local.url,
            audience=AUDIENCE,
            algorithms=frozenset({"RS256", "RS384", "ES256", "EdDSA"}),
            grants=GRANTS,
        )
        issuer = Issuer(IssuerOptions(rules=rules))
        issuer.start()
        access = Access((), Admission(issuer=issuer))
        eventually(lambda: len(issuer._published.signers.keys) >= 3)
        yield Desk(local, access)
        issuer.stop()


GOOD: dict[str, Callable[[str], str]] = {
    "ES256": token,
    "as the bad ones are made": lambda url: _raw(url, payload=json.dumps(claims(url)).encode()),
    "RS256": lambda url: token(url, kind="RSA", algorithm="RS256"),
    "EdDSA": lambda url: token(url, kind="OKP", algorithm="EdDSA"),
    "at+jwt": lambda url: token(url, header={"typ": "at+jwt"}),
    "application/at+jwt": lambda url: token(url, header={"typ": "application/AT+JWT"}),
    "no typ": lambda url: token(url, header={"typ": None}),
    "one of several audiences": lambda url: token(url, aud=["other", AUDIENCE]),
    "no iat": lambda url: token(url, iat=None),
    "a float of time": lambda url: token(url, exp=time.time() + 60.5),
    "just expired": lambda url: token(url, exp=now() - 20),
    "no kid, one key fits": lambda url: token(url, header={"kid": None}),
    "addresses of keys are not looked at": lambda url: token(
        url,
        header={
            "jku": "http://169.254.169.254/keys", "x5u": f"{url}/x5u",
            "jwk": public("EC", 5), "x5c": ["AAAA" * 300], "x5t": "x",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good_tokens(desk: Desk, name: str) -> None:
    """A token that says what it must is believed, and no address in it is asked."""
    caller = desk.ask(GOOD[name](desk.url))
    assert caller.id == f"jwt:{sha256(desk.url.encode()).hexdigest()[:8]}:robot"
    assert (caller.name, caller.scopes) == ("web", (Scope.PREDICT,))
    assert set(desk.issuer.asked) <= {"/keys", "/.well-known/openid-configuration"}


def _hmac(url: str, algorithm: str, secret: bytes, header: dict[str, Any] | None = None) -> str:
    """A token that is authenticated with *secret* as HS256 does it."""
    head = {"alg": algorithm, "typ": "JWT", "kid": "RSA-0", **(header or {})}
    message = f"{encoded(head)}.{encoded(claims(url))}"
    return f"{message}.{encoded(hmac.digest(secret, message.encode(), 'sha256'))}"


def _cut(text: str, part: int, new: str) -> str:
    parts = text.split(".")
    parts[part] = new
    return ".".join(parts)


def _raw(url: str, header: bytes | None = None, payload: bytes | None = None) -> str:
    """A token of which a part is these bytes, signed as it should be."""
    head = json.dumps({"alg": "ES256", "kid": "EC-0"}).encode() if header is None else header
    body = json.dumps(claims(url)).encode() if payload is None else payload
    return sign(head, body, key(), "ES256")


def _flipped(url: str, part: int) -> str:
    text = token(url)
    data = bytearray(decoded(text.split(".")[part]))
    data[len(data) // 2] ^= 1
    return _cut(text, part, encoded(bytes(data)))


def _twice(url: str, name: str, first: Any, second: Any) -> bytes:
    body = json.dumps(claims(url, **{name: None}))[:-1]
    return f'{body}, "{name}": {json.dumps(first)}, "{name}": {json.dumps(second)}}}'.encode()


def _replaced(url: str, exp: bytes) -> bytes:
    return json.dumps(claims(url, exp=None))[:-1].encode() + b', "exp": ' + exp + b"}"


def _respelled(text: str) -> str:
    """The same bytes; in the last character of 86 only two bits count."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
    assert decoded(changed.split(".")[2]) == decoded(text.split(".")[2])
    return changed


def _pem(url: str) -> bytes:
    return bytes(key("RSA").as_pem(private=False))


BAD: dict[str, Callable[[str], str]] = {
    # the algorithm
    "alg none, no signature": lambda url: _cut(token(url, header={"alg": "none"}), 2, ""),
    "alg none, a signature": lambda url: token(url, header={"alg": "none"}),
    "alg None": lambda url: token(url, header={"alg": "None"}),
    "alg nOnE": lambda url: token(url, header={"alg": "nOnE"}),
    "alg missing": lambda url: token(url, header={"alg": None}),
    "alg empty": lambda url: token(url, header={"alg": ""}),
    "alg a number": lambda url: token(url, header={"alg": 256}),
    "alg a list": lambda url: token(url, header={"alg": ["ES256"]}),
    "alg in small letters": lambda url: token(url, header={"alg": "es256"}),
    "alg with a space": lambda url: token(url, header={"alg": "ES256 "}),
    "alg not allowed": lambda url: token(url, kind="RSA", algorithm="RS512"),
    "alg PS256 not allowed": lambda url: token(url, kind="RSA", algorithm="PS256"),
    "HS256 by the public key as PEM": lambda url: _hmac(url, "HS256", _pem(url)),
    "HS256 by the public key as JSON": lambda url: _hmac(
        url, "HS256", json.dumps(public("RSA")).encode()
    ),
    "HS256 by a published secret": lambda url: _hmac(url, "HS256", b"s" * 32, {"kid": "shared"}),
    "HS256 by nothing": lambda url: _hmac(url, "HS256", b""),
    "RS256 that is an HMAC": lambda url: _hmac(url, "RS256", _pem(url)),
    "RS256 said of an EC key": lambda url: token(url, header={"alg": "RS256"}),
    "ES256 said of an RSA key": lambda url: token(
        url, kind="RSA", algorithm="RS256", header={"alg": "ES256"}
    ),
    "EdDSA said of an EC key": lambda url: token(url, header={"alg": "EdDSA"}),
    "PS256 signature under RS256": lambda url: token(
        url, kind="RSA", algorithm="PS256", header={"alg": "RS256"}
    ),
    "key of an algorithm of its own": lambda url: token(
        url, kind="RSA", number=9, algorithm="RS256", header={"kid": "other-algorithm"}
    ),
    # the key
    "another EC key under a good kid": lambda url: token(url, number=5, header={"kid": "EC-0"}),
    "another RSA key under a good kid": lambda url: token(
        url, kind="RSA", number=5, algorithm="RS256", header={"kid": "RSA-0"}
    ),
    "own key in the header": lambda url: token(
        url, number=5, header={"kid": "EC-0", "jwk": public("EC", 5)}
    ),
    "no kid, two keys fit": lambda url: token(
        url, kind="OKP", algorithm="EdDSA", header={"kid": None}
    ),
    "a key of 1,024 bits": weak_token,
    "own key in the header, no kid": lambda url: token(
        url, number=5, header={"kid": None, "jwk": public("EC", 5)}
    ),
    "own key at an address": lambda url: token(
        url, number=5, header={"kid": "EC-0", "jku": f"{url}/evil"}
    ),
    "own certificate in the header": lambda url: token(
        url, number=5, header={"kid": "EC-0", "x5c": ["MIIB"]}
    ),
    "kid a number": lambda url: token(url, header={"kid": 7}),
    "kid a list": lambda url: token(url, header={"kid": ["EC-0"]}),
    "kid null": lambda url: _raw(url, b'{"alg": "ES256", "kid": {}}'),
    "key for encryption": lambda url: token(url, number=7, header={"kid": "for-encryption"}),
    "key for another operation": lambda url: token(
        url, number=8, header={"kid": "other-operation"}
    ),
    # the signature
    "signature missing": lambda url: _cut(token(url), 2, ""),
    "signature cut": lambda url: token(url)[:-4],
    "signature longer": lambda url: token(url) + "AAAA",
    "signature of zeros": lambda url: _cut(token(url), 2, encoded(bytes(64))),
    "signature of ones": lambda url: _cut(token(url), 2, encoded(b"\x01" * 64)),
    "signature flipped": lambda url: _flipped(url, 2),
    "signature of another token": lambda url: _cut(
        token(url), 2, token(url, sub="other").split(".")[2]
    ),
    "signature in DER": lambda url: _cut(token(url), 2, encoded(b"\x30\x44" + bytes(68))),
    "payload flipped": lambda url: _flipped(url, 1),
    "payload exchanged": lambda url: _cut(token(url), 1, encoded(claims(url, sub="admin"))),
    "header exchanged": lambda url: _cut(
        token(url), 0, encoded({"alg": "ES256", "kid": "EC-0", "typ": "at+jwt"})
    ),
    # the form
    "one part": lambda url: "abc",
    "two parts": lambda url: token(url).rpartition(".")[0],
    "four parts": lambda url: token(url) + ".AAAA",
    "five parts, as if encrypted": lambda url: "a.b.c.d.e",
    "padded": lambda url: _cut(token(url), 2, token(url).split(".")[2] + "=="),
    "a space inside": lambda url: token(url).replace(".", " .", 1),
    "standard base64": lambda url: _cut(token(url), 2, "+/" + token(url).split(".")[2][2:]),
    "a second spelling of the same bytes": lambda url: _respelled(token(url)),
    "a number that JSON has not": lambda url: _raw(
        url, payload=json.dumps(claims(url, other=float("nan"))).encode()
    ),
    "too long": lambda url: token(url, filler="x" * 9000),
    "header not JSON": lambda url: _raw(url, b"{alg: ES256}"),
    "header a list": lambda url: _raw(url, b'["ES256"]'),
    "header a text": lambda url: _raw(url, b'"ES256"'),
    "header not UTF-8": lambda url: _raw(url, b'{"alg": "ES256", "kid": "\xff"}'),
    "header nested deeply": lambda url: _raw(url, b"[" * 5000),
    "alg said twice": lambda url: _raw(url, b'{"alg": "none", "alg": "ES256", "kid": "EC-0"}'),
    "payload not JSON": lambda url: _raw(url, payload=b"sub=robot"),
    "payload a list": lambda url: _raw(url, payload=b"[]"),
    "payload null": lambda url: _raw(url, payload=b"null"),
    "payload nested deeply": lambda url: _raw(url, payload=b'{"a":' * 900),
    "JSON serialisation": lambda url: json.dumps({"payload": token(url).split(".")[1]}),
    # the header
    "crit unknown": lambda url: token(url, header={"crit": ["exp"], "exp": 1}),
    "crit b64": lambda url: token(url, header={"crit": ["b64"], "b64": False}),
    "crit empty": lambda url: token(url, header={"crit": []}),
    "b64 without crit": lambda url: token(url, header={"b64": False}),
    "typ of another kind": lambda url: token(url, header={"typ": "logout+jwt"}),
    "typ dpop": lambda url: token(url, header={"typ": "dpop+jwt"}),
    "typ a number": lambda url: token(url, header={"typ": 1}),
    # the claims
    "iss missing": lambda url: token(url, iss=None),
    "iss with a slash more": lambda url: token(url, iss=url + "/"),
    "iss a beginning": lambda url: token(url, iss=url[:-1]),
    "iss longer": lambda url: token(url, iss=url + ".evil.example"),
    "iss in capitals": lambda url: token(url, iss=url.upper()),
    "iss a list": lambda url: token(url, iss=[url]),
    "iss said twice": lambda url: _raw(url, payload=_twice(url, "iss", "http://evil", url)),
    "aud missing": lambda url: token(url, aud=None),
    "aud of another": lambda url: token(url, aud="other"),
    "aud a part": lambda url: token(url, aud=AUDIENCE[:-1]),
    "aud within a longer text": lambda url: token(url, aud=f"{AUDIENCE} other"),
    "aud an empty list": lambda url: token(url, aud=[]),
    "aud a list in a list": lambda url: token(url, aud=[[AUDIENCE]]),
    "aud an object": lambda url: token(url, aud={AUDIENCE: True}),
    "exp missing": lambda url: token(url, exp=None),
    "exp past": lambda url: token(url, exp=now() - 3600),
    "exp past the leeway": lambda url: token(url, exp=now() - 61),
    "exp text": lambda url: token(url, exp=str(now() + 300)),
    "exp true": lambda url: token(url, exp=True),
    "exp null": lambda url: _raw(url, payload=json.dumps(claims(url) | {"exp": None}).encode()),
    "exp infinite": lambda url: _raw(
        url, payload=json.dumps(claims(url) | {"exp": float("inf")}).encode()
    ),
    "exp not a number": lambda url: _raw(
        url, payload=json.dumps(claims(url) | {"exp": float("nan")}).encode()
    ),
    "exp 1e400": lambda url: _raw(
        url, payload=_replaced(url, b"1e400")
    ),
    "exp beyond all calendars": lambda url: token(url, exp=10**18),
    "exp of 5,000 digits": lambda url: _raw(
        url, payload=_replaced(url, b"9" * 4900)
    ),
    "exp negative": lambda url: token(url, exp=-1),
    "exp said twice": lambda url: _raw(url, payload=_twice(url, "exp", now() - 9999, now() + 300)),
    "nbf to come": lambda url: token(url, nbf=now() + 3600),
    "nbf text": lambda url: token(url, nbf="0"),
    "iat to come": lambda url: token(url, iat=now() + 3600),
    "sub missing": lambda url: token(url, sub=None),
    "sub empty": lambda url: token(url, sub=""),
    "sub a number": lambda url: token(url, sub=7),
    "sub too long": lambda url: token(url, sub="s" * 256),
    "sub with a line": lambda url: token(url, sub="robot\nadmin"),
    "sub with a terminal's escape": lambda url: token(url, sub="\x1b[31mrobot"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_tokens(desk: Desk, name: str) -> None:
    """A token with one thing wrong is not believed; nothing of it is told back or remembered."""
    text = BAD[name](desk.url)
    for _ in range(2):
        with pytest.raises(NotAuthenticated) as caught:
            desk.ask(text)
    assert len(text) < 16 or text[:16] not in str(caught.value)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "name", [name for name in BAD if name.startswith(("alg ", "HS256")) and "twice" not in name]
)
def test_the_algorithm_is_judged_before_any_key(desk: Desk, name: str) -> None:
    """A token that is not signed as it must be is refused for that, whatever keys there are."""
    if name == "alg none, no signature":
        return  # not even the form of a token
    with pytest.raises(NotAuthenticated, match="not signed by an algorithm that is allowed"):
        desk.ask(BAD[name](desk.url))


def test_there_are_enough_bad_tokens(desk: Desk) -> None:
    """The corpus is as large as it must be, no two are the same, and a good one is good still."""
    made = [make(desk.url) for make in BAD.values()]
    assert len(set(made)) == len(BAD) >= 100
    assert desk.ask(token(desk.url)).scopes == (Scope.PREDICT,)


def test_every_bit_counts(desk: Desk) -> None:
    """A good token with any one character changed is no token."""
    text = token(desk.url)
    for at, sign_ in enumerate(text):
        changed = text[:at] + ("A" if sign_ != "A" else "B") + text[at + 1 :]
        with pytest.raises(NotAuthenticated):
            desk.ask(changed)


@pytest.mark.parametrize(
    ("changed", "scopes"),
    [
        ({"scope": "ml.ops ml.read"}, (Scope.PREDICT, Scope.LABEL, Scope.VIEW)),
        ({"scope": ["ml.read"]}, (Scope.PREDICT,)),
        ({"scope": None}, ()),
        ({"scope": ""}, ()),
        ({"scope": "predict admin"}, ()),
        ({"scope": "ML.READ"}, ()),
        ({"scope": "ml.read,ml.ops"}, ()),
        ({"scope": ["ml.read ml.ops"]}, ()),
        ({"scope": [7, None, {"ml.read": 1}]}, ()),
        ({"scope": {"ml.read": True}}, ()),
        ({"scope": 7}, ()),
    ],
)
def test_scopes(desk: Desk, changed: dict[str, Any], scopes: tuple[Scope, ...]) -> None:
    """A token may what its claim maps to and not a bit more; one without any may nothing."""
    assert desk.ask(token(desk.url, **changed)).scopes == scopes


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60), st.text(max_size=9))
def test_anything_at_all(desk: Desk, header: bytes, payload: bytes, end: bytes, more: str) -> None:
    """Whatever is sent as a token is refused as one and raises nothing else."""
    for text in (f"{encoded(header)}.{encoded(payload)}.{encoded(end)}{more}", more, f"a.{more}.b"):
        with pytest.raises(NotAuthenticated):
            desk.ask(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub"]), JSON, min_size=1)
)
def test_any_claims(desk: Desk, changed: dict[str, Any]) -> None:
    """Whatever a signed token claims, it is believed or refused, and nothing is raised else."""
    try:
        caller = desk.ask(_raw(desk.url, payload=json.dumps(claims(desk.url) | changed).encode()))
    except NotAuthenticated:
        return
    assert caller.id.isprintable()
    assert changed.get("iss", desk.url) == desk.url


def test_a_key_is_no_token(desk: Desk) -> None:
    """A token is taken as a bearer token alone, not where keys are sent."""
    sent = {b"x-api-key": token(desk.url).encode()}
    with pytest.raises(NotAuthenticated):
        desk.access.identify(Credentials(sent))


def test_expiry_is_the_tokens_own(desk: Desk) -> None:
    """A caller is known until its token ends, and a minute for clocks that differ."""
    ends = now() + 100
    caller = desk.ask(token(desk.url, exp=ends))
    assert caller.expires_at == datetime.fromtimestamp(ends + 60, UTC)
