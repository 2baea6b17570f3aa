"""Finding the server to talk to, and talking to it: what ``predict`` and ``labels`` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from shipway.bootstrap.project import Project
from shipway.errors import (
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
    """A server's two addresses and the key to call it with, "" for none."""

    url: str
    control_url: str
    key: str

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
            )
        except httpx.InvalidURL as error:
            raise UsageError(
                f"{url!r} is no address: {error}",
                next_step="give one like http://127.0.0.1:8080 with --url",
            ) from error
        except httpx.HTTPError as error:
            raise ServerUnreachable(
                f"no server answers at {url}: {error}",
                next_step="start it with `shipway serve`, or name another with --url",
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

    The key is *key*, or the variable ``SHIPWAY_KEY``.
    Raises :class:`~shipway.errors.ServerUnreachable` when none is given and none runs.
    """
    chosen = key or project.environ.get(KEY_VARIABLE, "")
    if url is not None:
        return Caller(url.rstrip("/"), url.rstrip("/"), chosen)
    record = read_server(project.home / "run")
    if record is None:
        raise ServerUnreachable(
            f"no server runs on the store {project.home}",
            next_step="start it with `shipway serve`, or name another with --url",
        )
    return Caller(record.url, record.control_url, chosen)


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
