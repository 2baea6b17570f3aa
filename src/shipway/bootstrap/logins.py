"""How people log in, as the settings say it; only the control process needs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from shipway.config.auth import AuthSettings
from shipway.errors import ConfigError
from shipway.security.acting import Actor
from shipway.security.audit import Entry
from shipway.security.login import Client
from shipway.security.sessions import Sessions
from shipway.serving.access import Admission
from shipway.serving.login import Login, LoginOptions


def login_of(
    auth: AuthSettings,
    admission: Admission,
    *,
    secure: bool,
    tell: Callable[[Entry, Actor], None],
) -> Login | None:
    """How people log in, where the settings say that they do; *secure* says that it is by TLS.

    Raises :class:`~shipway.errors.ConfigError` for a secret that cannot be read.
    """
    if auth.client_id is None or auth.issuer is None or admission.issuer is None:
        return None
    from shipway.security.fetching import fetch  # noqa: PLC0415 - only where there is an issuer

    options = LoginOptions(
        client=Client(id=auth.client_id, secret=_secret(auth.client_secret_file)),
        issuer=auth.issuer,
        public_url=auth.public_url or "",
        secure=secure or (auth.public_url or "").startswith("https://"),
    )
    sessions = Sessions(life=timedelta(seconds=auth.session_s), random=os.urandom)
    return Login(admission.issuer, sessions, options, random=os.urandom, tell=tell, exchange=fetch)


def _secret(path: str | None) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"auth.client_secret_file {path} cannot be read: {type(error).__name__}",
            next_step="write the secret that the issuer gave into it, for this user's eyes only",
        ) from error
