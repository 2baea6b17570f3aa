"""Who is calling, whatever tells it: a key, a token or a certificate; over HTTP or gRPC.

One question, :meth:`Access.allow`, is asked of every request on every plane. A caller that was
good before is one look-up by the digest of the header that was sent; what is remembered lives no
longer than the keys that it was judged by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from shipway.domain.times import Clock, system_clock
from shipway.errors import EnvironmentFailure, MalformedRequest, NotAuthenticated
from shipway.security.callers import ANONYMOUS, Caller, authorise
from shipway.security.certificates import PeerCertificate, Principals
from shipway.security.keys import KeyRecord, KeyRing, caller_of
from shipway.security.policy import Scope
from shipway.security.rates import Rates

if TYPE_CHECKING:
    from shipway.security.issuer import Issuer, Known

OPEN_PATHS = frozenset(
    {
        *(b"/livez", b"/v2/health/live", b"/"),
        *(b"/readyz", b"/v2/health/ready", b"/ping", b"/health"),
    }
)
"""The paths that ask nobody who is calling: liveness and readiness, as each protocol calls them.

A platform may name one more for readiness (``Doors.health``). On the control plane only /livez
and /readyz are open.
"""

OPEN_METHODS = frozenset(
    {
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
        "/grpc.health.v1.Health/Check",
    }
)
"""The same of gRPC. A watch is kept for callers alone: it holds a call for as long as it likes."""

_REMEMBERED = 4096
_NOTHING_SENT = "make a key with `shipway keys create` and send it as `Authorization: Bearer <key>`"


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """What a caller showed: headers (names in lower case), and the certificate of its connection.

    Of the headers ``authorization`` and ``x-api-key`` are looked at.
    """

    headers: Mapping[bytes, bytes]
    certificate: PeerCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What lets callers in besides the keys, and how often; it outlives every :class:`Access`.

    Without ``authentication`` everybody is let in, as :data:`ANONYMOUS`. ``keys`` False means
    that keys are not taken, and tokens or certificates alone count. ``requests`` and ``rows``
    are the rates of each caller.
    """

    authentication: bool = True
    keys: bool = True
    issuer: Issuer | None = None
    principals: Principals = field(default_factory=Principals)
    requests: Rates | None = None
    rows: Rates | None = None
    clock: Clock = system_clock


class Access:
    """Tells callers and what they may do, by one set of keys.

    Replace it whole when keys change: what it remembers of them does not outlive it, so a revoked
    key is refused as soon as the new one is in place. *keys* None means that they are not known
    yet: who brings one is asked to come again. May be asked from several threads.
    """

    def __init__(
        self, keys: Iterable[KeyRecord] | None = None, admission: Admission | None = None
    ) -> None:
        admission = Admission() if admission is None else admission
        self._waiting = keys is None and admission.keys
        self._ring = KeyRing((keys or ()) if admission.keys else ())
        self._issuer = admission.issuer
        self._principals = admission.principals
        self._requests, self._rows = admission.requests, admission.rows
        self._clock = admission.clock
        self._open = not admission.authentication
        self._known: Known = {}

    @property
    def open(self) -> bool:
        """Whether everybody is let in, and nobody is asked."""
        return self._open

    def allow(self, credentials: Credentials, scope: Scope) -> Caller:
        """The caller that *credentials* tell of, if it may do what needs *scope*, now.

        Raises :class:`~shipway.errors.NotAuthenticated`, :class:`~shipway.errors.NotAuthorised`,
        :class:`~shipway.errors.RateLimited`, and :class:`~shipway.errors.IssuerUnreachable` while
        a token cannot be judged.
        """
        caller = self.identify(credentials)
        if scope not in caller.scopes:  # the usual case is over by now
            authorise(caller, scope)
        self.count(caller.id)
        return caller

    def count(self, caller: str) -> None:
        """Count one request of *caller* (its id); raises RateLimited if they are too many."""
        if self._requests is not None:
            self._requests.spend(caller)

    def identify(self, credentials: Credentials) -> Caller:
        """The caller that *credentials* tell of, whatever it may do.

        Only the good are remembered, by the SHA-256 of what was sent, so neither secrets nor
        guesses are kept. A header counts before a certificate: who sends a bad key is not let in
        because of something else.
        """
        if self._open:
            return ANONYMOUS
        headers = credentials.headers
        sent = headers.get(b"authorization")
        if sent is None or b"x-api-key" in headers:
            if sent is None and b"x-api-key" not in headers:
                return self._by_certificate(credentials.certificate)
            # No header has a line feed in it, so this is the digest of no other header.
            sent = b"\n".join((sent or b"", headers[b"x-api-key"]))
        digest = sha256(sent).digest()
        caller = self._known.get(digest)
        if caller is None and self._issuer is not None:
            caller = self._issuer.known.get(digest)
        if caller is None or self._clock() >= caller.expires_at:
            caller, known = self._judge(headers)
            if len(known) >= _REMEMBERED:
                known.clear()
            known[digest] = caller
        return caller

    def charge(self, caller: str, rows: int) -> None:
        """Count *rows* that *caller* (its id) asks for; raises RateLimited if they are too many."""
        if self._rows is not None:
            self._rows.spend(caller, rows)

    def _judge(self, headers: Mapping[bytes, bytes]) -> tuple[Caller, Known]:
        text = key_in(headers).decode("latin-1")
        now = self._clock()
        is_key = text.startswith("shipway_") or b"x-api-key" in headers or not text
        if self._issuer is None or is_key:
            if self._waiting and text:
                raise EnvironmentFailure(
                    "the keys of this server are not loaded yet",
                    next_step="ask again in a second; `shipway status` says what it waits for",
                )
            return caller_of(self._ring.authenticate(text, now)), self._known
        return self._issuer.caller(text, now)

    def _by_certificate(self, certificate: PeerCertificate | None) -> Caller:
        if certificate is None or not self._principals:
            raise NotAuthenticated("no key came with the request", next_step=_NOTHING_SENT)
        return self._principals.caller(certificate, self._clock())


def key_in(headers: Mapping[bytes, bytes]) -> bytes:
    """The text of the key in *headers* (names in lower case), ``b""`` if there is none.

    ``Authorization: Bearer <key>`` and ``X-API-Key: <key>`` are taken. Raises MalformedRequest if
    both came and differ, NotAuthenticated for another authentication scheme.
    """
    plain = headers.get(b"x-api-key", b"").strip()
    header = headers.get(b"authorization")
    if header is None:
        return plain
    scheme, _, rest = header.strip().partition(b" ")
    if scheme.lower() != b"bearer":
        raise NotAuthenticated(
            "the Authorization header is not of the form Bearer <key>",
            next_step="send `Authorization: Bearer <key>`",
        )
    bearer = rest.strip()
    if plain and plain != bearer:
        raise MalformedRequest(
            "Authorization and X-API-Key came with different keys",
            next_step="send one of the two",
        )
    return bearer
