"""Who one is to a registry: from the environment, or from where ``podman login`` kept it.

Never from the command line, which other users of the machine can read. A name and a password are
for one registry alone, so that no reference can send them elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from shipway.errors import ConfigError

HOST = "SHIPWAY_REGISTRY_HOST"
USER = "SHIPWAY_REGISTRY_USER"
PASSWORD = "SHIPWAY_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable
TOKEN = "SHIPWAY_REGISTRY_TOKEN"  # noqa: S105 - the name of a variable
_MOST_BYTES = 1 << 20


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A name and a password, or a token; neither is ever shown."""

    user: str = ""
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"

    @property
    def basic(self) -> str:
        """An ``Authorization`` of the scheme Basic (RFC 7617); "" for nobody."""
        if not self.user:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class _Auth(msgspec.Struct, frozen=True, kw_only=True):
    auth: str = ""


class _AuthFile(msgspec.Struct, frozen=True, kw_only=True):
    auths: dict[str, _Auth] = {}


NOBODY = Credentials()


def credentials_for(registry: str, environ: Mapping[str, str]) -> Credentials:
    """Who one is to *registry* (``host[:port]``); :data:`NOBODY` where nothing says it.

    Raises :class:`~shipway.errors.ConfigError` for variables that say it by half.
    """
    given = [name for name in (USER, PASSWORD, TOKEN) if environ.get(name)]
    if given and not environ.get(HOST):
        raise ConfigError(
            f"{given[0]} is set, and {HOST} does not say for which registry",
            next_step=f"set {HOST}={registry}, if it is for that one",
        )
    if given and environ[HOST] == registry:
        if TOKEN not in given and {USER, PASSWORD} - {*given}:
            raise ConfigError(
                f"of {USER} and {PASSWORD} only {given[0]} is set",
                next_step="set both, or neither",
            )
        return Credentials(
            user=environ.get(USER, ""),
            password=environ.get(PASSWORD, ""),
            token=environ.get(TOKEN, ""),
        )
    for path in _auth_files(environ):
        found = _kept(path, registry)
        if found is not None:
            return found
    return NOBODY


def _auth_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where podman, skopeo and docker keep logins, in the order in which podman looks."""
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
        return
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    if folder := environ.get("DOCKER_CONFIG"):
        yield Path(folder) / "config.json"
    elif home := environ.get("HOME"):
        yield Path(home) / ".docker" / "config.json"


def _kept(path: Path, registry: str) -> Credentials | None:
    """What the file at *path* keeps for *registry*; a file that is none of these keeps nothing."""
    try:
        with path.open("rb") as file:
            auths = msgspec.json.decode(file.read(_MOST_BYTES), type=_AuthFile).auths
        packed = auths[registry].auth
        user, _, password = base64.b64decode(packed, validate=True).decode().partition(":")
    except (OSError, KeyError, ValueError, msgspec.DecodeError, binascii.Error):
        return None
    return Credentials(user=user, password=password) if user else None
