"""Who may call, as the settings say it: an issuer of tokens, certificates, rates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shipway.config.auth import AuthSettings
from shipway.config.settings import ServeSettings
from shipway.security.callers import read_grants
from shipway.security.certificates import Principals
from shipway.security.rates import RATES_FILE, Rate, Rates
from shipway.security.signers import load_jose
from shipway.security.tokens import TokenRules
from shipway.serving.access import Admission

if TYPE_CHECKING:
    from shipway.security.issuer import Issuer

_ROWS_AT_ONCE_S = 10.0


@contextmanager
def admitting(
    serve: ServeSettings,
    auth: AuthSettings,
    *,
    run: Path | None,
    behind_platform: bool = False,
) -> Iterator[Admission]:
    """What lets callers in beside the keys of the store, at work until the end of the context.

    *run* is the folder in which the workers share what each caller has asked; without it, as in
    the control process, nobody is held to a rate. *behind_platform* says that a platform lets in
    whom it knows, and passes on no credentials.
    """
    issuer = _issuer(auth)
    rates = [] if run is None else [_requests(auth, run), _rows(auth, run)]
    requests, rows = rates or (None, None)
    try:
        if issuer is not None:
            issuer.start()
        yield Admission(
            authentication=not behind_platform and (serve.authentication or auth.known_callers),
            keys=serve.authentication,
            issuer=issuer,
            principals=Principals(read_grants(auth.certificates, setting="auth.certificates")),
            requests=requests,
            rows=rows,
        )
    finally:
        if issuer is not None:
            issuer.stop()
        for one in rates:
            if one is not None:
                one.close()


def check_admission(auth: AuthSettings) -> None:
    """Raise now what would end every process of the server when it starts.

    That is :class:`~shipway.errors.MissingPackage` where tokens are taken without the extra jwt.
    """
    if auth.issuer is not None:
        load_jose()


def _issuer(auth: AuthSettings) -> Issuer | None:
    if auth.issuer is None or auth.audience is None:
        return None
    # What fetches its keys takes as long to import as a tenth of a worker, and most have no issuer.
    from shipway.security import issuer as tokens  # noqa: PLC0415

    rules = TokenRules(
        issuer=auth.issuer,
        audience=auth.audience,
        algorithms=frozenset(algorithm.value for algorithm in auth.algorithms),
        claim=auth.claim,
        grants=read_grants(auth.scopes, setting="auth.scopes"),
    )
    return tokens.Issuer(
        tokens.IssuerOptions(
            rules=rules,
            jwks_url=auth.jwks_url or "",
            people=auth.client_id is not None,
            refresh_s=auth.refresh_s,
            max_age_s=auth.max_age_s,
        )
    )


def _requests(auth: AuthSettings, run: Path) -> Rates | None:
    if auth.requests_per_s is None:
        return None

    def rate(per_s: float) -> Rate:
        return Rate(per_s, auth.burst or max(1.0, per_s))

    told = (line.rpartition("=") for line in auth.special_requests_per_s)
    return Rates(
        run / f"{RATES_FILE}-requests",
        rate(auth.requests_per_s),
        of="requests",
        setting="auth.requests_per_s",
        special={name.strip(): rate(float(number)) for name, _, number in told},
    )


def _rows(auth: AuthSettings, run: Path) -> Rates | None:
    if auth.rows_per_s is None:
        return None
    return Rates(
        run / f"{RATES_FILE}-rows",
        Rate(auth.rows_per_s, max(1.0, auth.rows_per_s * _ROWS_AT_ONCE_S)),
        of="rows",
        setting="auth.rows_per_s",
    )
