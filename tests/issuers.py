"""An issuer of tokens for the tests: real keys, and a real HTTP server in a thread."""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc import jwk, jws

AUDIENCE = "flights"
_SIZES = {"RSA": 2048, "EC": "P-256", "OKP": "Ed25519"}


def key(kind: str = "EC", number: int = 0) -> Any:
    """Key *number* of its *kind*; the same each time it is asked for."""
    return _made(kind, number)


@cache
def _made(kind: str, number: int) -> Any:
    del number
    return jwk.generate_key(kind, _SIZES[kind], auto_kid=False)  # type: ignore[call-overload]


def public(kind: str = "EC", number: int = 0, kid: str | None = None, **more: Any) -> Any:
    """The public half as it stands in a key set, with *more* beside it."""
    told = key(kind, number).as_dict(private=False)
    return {**told, "kid": f"{kind}-{number}" if kid is None else kid, **more}


def encoded(value: Any) -> str:
    """*value* (bytes, or something for JSON) as a part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    """The bytes of a part of a token."""
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def sign(header: Any, claims: Any, signing: Any, algorithm: str) -> str:
    """A token of *header* and *claims*, signed with the key *signing* whatever they say."""
    message = f"{encoded(header)}.{encoded(claims)}"
    signature = jws.JWSRegistry.algorithms[algorithm].sign(message.encode(), signing)
    return f"{message}.{encoded(signature)}"


def claims(issuer: str, **changed: Any) -> dict[str, Any]:
    """Good claims of now, with some changed; those that are None are left out."""
    now = int(time.time())
    good = {
        "iss": issuer, "aud": AUDIENCE, "sub": "robot", "exp": now + 300, "iat": now,
        "scope": "ml.read other", "client_id": "web",
    }  # fmt: skip
    return {name: value for name, value in (good | changed).items() if value is not None}


def token(
    issuer: str,
    *,
    kind: str = "EC",
    number: int = 0,
    algorithm: str = "ES256",
    header: dict[str, Any] | None = None,
    **changed: Any,
) -> str:
    """A good token, with claims or parts of the header changed (None: left out)."""
    head = {"alg": algorithm, "typ": "JWT", "kid": f"{kind}-{number}", **(header or {})}
    head = {name: value for name, value in head.items() if value is not None}
    return sign(head, claims(issuer, **changed), key(kind, number), algorithm)


@cache
def _weak() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - too weak on purpose


def weak_public() -> dict[str, str]:
    """An RSA key that is too short to be believed, as it stands in a key set."""
    numbers = _weak().public_key().public_numbers()
    return {
        "kty": "RSA", "kid": "weak", "e": "AQAB", "n": encoded(numbers.n.to_bytes(128, "big")),
    }  # fmt: skip


def weak_token(issuer: str) -> str:
    """A token that is good but for the key that it is signed with."""
    header = {"alg": "RS256", "typ": "JWT", "kid": "weak"}
    message = f"{encoded(header)}.{encoded(claims(issuer))}"
    signature = _weak().sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{message}.{encoded(signature)}"


@dataclass
class LocalIssuer:
    """What the server publishes, and what was asked of it; change it while it runs."""

    url: str = ""
    keys: list[Any] = field(default_factory=lambda: [public("EC"), public("RSA"), public("OKP")])
    named: str | None = None
    jwks_url: str | None = None
    asked: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    hold: threading.Event = field(default_factory=threading.Event)
    client: str = "console"
    secret: str = ""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "anna", "scope": "ml.ops"})
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorise(self, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Send the browser back with a code, as one who has long been logged in here."""
        if query["client_id"] != self.client or query["code_challenge_method"] != "S256":
            return 400, {}, b"unknown client"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        answer = urlencode({"code": code, "state": query["state"], "iss": self.url})
        return 302, {"Location": f"{query['redirect_uri']}?{answer}"}, b""

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """An identity token for a code that was not used yet, by who has asked for it."""
        asked = self.codes.pop(form.get("code", ""), None)
        proof = encoded(sha256(form.get("code_verifier", "").encode()).digest())
        good = (
            asked is not None
            and form.get("client_secret", "") == self.secret
            and form["redirect_uri"] == asked["redirect_uri"]
            and proof == asked["code_challenge"]
        )
        if not good or asked is None:
            return 400, {}, b'{"error": "invalid_grant"}'
        said = {"aud": self.client, "nonce": asked["nonce"], **self.person}
        told = {"id_token": token(self.url, **said), "token_type": "Bearer"}
        return 200, {}, json.dumps(told).encode()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body for *path*; ``answers`` comes first."""
        self.asked.append(path)
        self.hold.wait(10)
        if path in self.answers:
            return self.answers[path]
        told: Any = None
        if path == "/.well-known/openid-configuration":
            told = {
                "issuer": self.named or self.url,
                "jwks_uri": self.jwks_url or f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/authorise",
                "token_endpoint": f"{self.url}/token",
            }
        elif path == "/keys":
            told = {"keys": self.keys}
        return (404, {}, b"") if told is None else (200, {}, json.dumps(told).encode())

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.asked.count("/keys")


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """An issuer on a port of this machine until the end of the context."""
    issuer = LocalIssuer()
    issuer.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/authorise":
                self.reply(issuer.authorise(dict(parse_qsl(query))))
            else:
                self.reply(issuer.answer(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.reply(issuer.exchange(dict(parse_qsl(body))))

        def reply(self, answer: tuple[int, dict[str, str], bytes]) -> None:
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
