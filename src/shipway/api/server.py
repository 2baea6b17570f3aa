"""Finding the server to talk to, and talking to it: what ``predict`` and ``labels`` share."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from shipway.bootstrap.project import Project
from shipway.errors import (
    ConfigError,
    ContractViolated,
    DeadlineExceeded,
    MalformedRequest,
    NotAuthenticated,
    NotAuthorised,
    NotFoundError,
    Overloaded,
    Problem,
    ServerUnreachable,
    ShipwayError,
    TooLarge,
    UsageError,
)
from shipway.serving.status import read_server

KEY_VARIABLE = "SHIPWAY_KEY"
CA_VARIABLE = "SHIPWAY_CA"
"""A file of the authorities to believe when a server speaks TLS; the system's without it."""
CERTIFICATE_VARIABLE = "SHIPWAY_CLIENT_CERTIFICATE"
"""A file with a certificate and its key, for servers that ask callers for one."""
_TIMEOUT_S = 60.0
_BY_STATUS: dict[int, type[ShipwayError]] = {
    400: MalformedRequest,
    401: NotAuthenticated,
    403: NotAuthorised,
    404: NotFoundError,
    413: TooLarge,
    422: ContractViolated,
    504: DeadlineExceeded,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """A server's two addresses and the key to call it with, "" for none.

    ``trust`` is whom to believe over TLS; True is whom the system believes.
    """

    url: str
    control_url: str
    key: str
    trust: ssl.SSLContext | bool = True

    def post(self, url: str, body: Any) -> Any:
        """The decoded answer to *body*, sent as JSON.

        Raises :class:`~shipway.errors.ServerUnreachable` when nobody answers, and the error that
        the server's refusal names.
        """
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            response = httpx.post(
                url,
                content=body if isinstance(body, bytes) else msgspec.json.encode(body),
                headers={"Content-Type": "application/json", **headers},
                timeout=_TIMEOUT_S,
                verify=self.trust,
            )
        except httpx.InvalidURL as error:
            raise UsageError(
                f"{url!r} is no address: {error}",
                next_step="give one like http://127.0.0.1:8080 with --url",
            ) from error
        except httpx.HTTPError as error:
            next_step = "start it with `shipway serve`, or name another with --url"
            if "certificate" in str(error).lower():
                next_step = (
                    f"name the file of its authority in {CA_VARIABLE}, and that of your own"
                    f" certificate and key in {CERTIFICATE_VARIABLE} if it asks for one"
                )
            raise ServerUnreachable(
                f"no server answers at {url}: {error}", next_step=next_step
            ) from error
        if response.status_code != 200:
            raise _refusal(response)
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError as error:
            raise ServerUnreachable(
                f"what answers at {url} does not speak JSON, so it is no Shipway server",
                next_step="check the address given with --url",
            ) from error


def caller(project: Project, *, url: str | None, key: str | None) -> Caller:
    """Whom to call: *url* if given, else the server that runs on this project's store.

    The key is *key*, or the variable ``SHIPWAY_KEY``. The project's own server is believed by the
    certificate that it was started with, any other by the authorities of ``SHIPWAY_CA``.
    Raises :class:`~shipway.errors.ServerUnreachable` when none is given and none runs, and
    :class:`~shipway.errors.ConfigError` for a file of certificates that is none.
    """
    chosen = key or project.environ.get(KEY_VARIABLE, "")
    if url is not None:
        trust = _trust(project.environ) if url.startswith("https:") else True
        return Caller(url.rstrip("/"), url.rstrip("/"), chosen, trust)
    record = read_server(project.home / "run")
    if record is None:
        raise ServerUnreachable(
            f"no server runs on the store {project.home}",
            next_step="start it with `shipway serve`, or name another with --url",
        )
    trust = _trust(project.environ, own=record.certificate) if record.certificate else True
    return Caller(record.url, record.control_url, chosen, trust)


def _trust(environ: Mapping[str, str], *, own: str = "") -> ssl.SSLContext:
    """Whom to believe, and what to show; *own* is the very certificate of a server known."""
    file = own or environ.get(CA_VARIABLE)
    shown = environ.get(CERTIFICATE_VARIABLE)
    try:
        context = ssl.create_default_context(cafile=file)
        if own:  # it is known by its file, whatever the name it is called by here
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if shown:
            context.load_cert_chain(shown)
    except OSError as error:  # ssl's own errors are among them
        raise ConfigError(
            f"the certificates in {file or 'the system'}"
            f"{f' and {shown}' if shown else ''} cannot be used: {error}",
            next_step=f"set {CA_VARIABLE} and {CERTIFICATE_VARIABLE} to files in PEM",
        ) from error
    return context


def _refusal(response: httpx.Response) -> ShipwayError:
    """The error that the server's answer tells of, with its problems."""
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        body = {}
    body = body if isinstance(body, dict) else {}
    message = str(body.get("error") or f"the server answered {response.status_code}")
    next_step = str(body.get("next") or "look at the server's log")
    if response.status_code == 503:
        return Overloaded(message, next_step=next_step)
    if response.status_code == 401:
        next_step = f"give a key with --key or in {KEY_VARIABLE}: `shipway keys create` makes one"
    told = body.get("problems")
    problems = [
        Problem(
            code=str(each.get("code", "")),
            message=str(each.get("message", "")),
            where=str(each.get("where", "")),
        )
        for each in (told if isinstance(told, list) else [])
        if isinstance(each, dict)
    ]
    usual = ServerUnreachable if response.status_code >= 500 else UsageError
    kind = _BY_STATUS.get(response.status_code, usual)
    return kind(message, next_step=next_step, problems=problems)
