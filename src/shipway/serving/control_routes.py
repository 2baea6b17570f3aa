"""The routes of the control plane: what can be asked and changed, and who may."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath, FromQuery, JSONBody

from shipway import __version__
from shipway.domain.events import Label, Scalar
from shipway.domain.times import nanoseconds
from shipway.errors import (
    MalformedRequest,
    NotAuthorised,
    NotFoundError,
    Problem,
    ShipwayError,
    UsageError,
)
from shipway.registry.records import EndpointChange, EndpointState, Version
from shipway.security.callers import Caller, authorise
from shipway.security.policy import Action, scope_for
from shipway.serving.exposition import CONTENT_TYPE, metrics_page
from shipway.serving.gatekeeper import CALLER, DENIED, OPEN
from shipway.serving.status import read_server, read_workers
from shipway.serving.statuses import error_body, http_status

_log = logging.getLogger(__name__)
_MAX_BODY_BYTES = 16 << 20
_MAX_ID = 256


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to change what an endpoint answers with.

    ``action`` is ``promote`` or ``rollback``; ``version`` None means the newest gated one, or for
    a rollback the one before. ``expected`` is the sequence that the caller last saw, ``names`` are
    all by which he is known.
    """

    action: str
    endpoint: str
    version: str | None
    by: str
    reason: str = ""
    force: bool = False
    expected: int | None = None
    names: frozenset[str] = frozenset()


class ControlServices(Protocol):
    """What the routes need of the rest. All are called from threads, several at once."""

    def status(self) -> dict[str, Any]:
        """The state of models, endpoints and alerts, as JSON values."""

    def endpoints(self) -> Sequence[EndpointState]:
        """Every endpoint."""

    def versions(self, model: str | None) -> Sequence[Version]:
        """Every version, of one model if it is named."""

    def history(self, endpoint: str) -> Sequence[EndpointChange]:
        """What an endpoint answered with, and who changed it."""

    def add_labels(self, labels: Sequence[Label], *, by: str) -> int:
        """Keep *labels*; once it returns, how many, a crash cannot lose them."""

    def move(self, move: Move) -> EndpointState:
        """Do it, wait until every worker follows, and return the new state."""


class MoveBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a promotion or a rollback."""

    version: str | int | None = None
    reason: str = ""
    force: bool = False
    expected: int | None = None


class LabelBody(msgspec.Struct, forbid_unknown_fields=True):
    """One label: ``observed_at`` is RFC 3339, now if it is left out."""

    prediction_id: str
    value: Scalar
    observed_at: datetime | None = None


class LabelsBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /v1/labels``."""

    labels: list[LabelBody]


class Accepted(msgspec.Struct):
    """How many labels are kept now."""

    accepted: int


class Context(msgspec.Struct, frozen=True):
    """What the routes share."""

    services: ControlServices
    run: Path


Shared = NamedDependency[Context]


def make_application(services: ControlServices, run: Path) -> Litestar:
    """The control plane's application, without the gatekeeper around it."""
    context = Context(services, run)
    return Litestar(
        route_handlers=[
            livez, readyz, metrics, status, endpoints, versions, history,
            add_labels, promote, rollback, openapi,
        ],
        dependencies={"context": Provide(lambda: context, sync_to_thread=False)},
        guards=[guard],
        exception_handlers={
            ShipwayError: _told,
            HTTPException: _told_by_framework,
            RecursionError: _told_too_deep,
            Exception: _told_nothing,
        },
        openapi_config=OpenAPIConfig(
            title="Shipway control plane",
            version=__version__,
            path="/schema",
            security=[{"key": []}],
            components=Components(
                security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}
            ),
        ),
        request_max_body_size=_MAX_BODY_BYTES,
        logging_config=None,
    )  # fmt: skip


def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse unless the route says what action it is and the caller's key allows that."""
    if connection.scope["path"] in OPEN:
        return
    action = handler.opt.get("action")
    if action is None:
        raise NotAuthorised("nobody may do this", next_step="see /openapi.json for what there is")
    _permit(connection, action)


def _permit(connection: ASGIConnection[Any, Any, Any, Any], action: Action) -> None:
    """Return if the caller may do *action*; the gatekeeper tells the audit log if not."""
    state = connection.scope["state"]
    caller: Caller = state[CALLER]  # without the gatekeeper nobody comes in
    try:
        authorise(caller, scope_for(action))
    except NotAuthorised:
        state[DENIED] = str(action)
        raise


@get("/livez", sync_to_thread=False, security=[])
def livez() -> dict[str, bool]:
    """Whether this process runs."""
    return {"live": True}


@get("/readyz", sync_to_thread=True, security=[])
def readyz(context: Shared) -> Response[dict[str, bool]]:
    """Whether a worker can answer predictions."""
    ready = any(worker.ready for worker in read_workers(context.run))
    return Response({"ready": ready}, status_code=200 if ready else 503)


@get("/metrics", media_type=MediaType.TEXT, action=Action.READ_METRICS, sync_to_thread=True)
def metrics(context: Shared) -> Response[bytes]:
    """All metrics in Prometheus' text format."""
    return Response(metrics_page(context.run), headers={"Content-Type": CONTENT_TYPE})


@get("/v1/status", action=Action.READ_STATUS, sync_to_thread=True)
def status(context: Shared) -> dict[str, Any]:
    """The server, its workers, and what the services say of models, endpoints and alerts."""
    return {
        "server": read_server(context.run),
        "workers": read_workers(context.run),
        **context.services.status(),
    }


@get("/v1/endpoints", action=Action.READ_STATUS, sync_to_thread=True)
def endpoints(context: Shared) -> list[EndpointState]:
    """Every endpoint and its live version."""
    return list(context.services.endpoints())


@get("/v1/versions", action=Action.READ_VERSIONS, sync_to_thread=True)
def versions(context: Shared, model: FromQuery[str | None] = None) -> list[Version]:
    """Every version, of one model if it is named."""
    return list(context.services.versions(model))


@get("/v1/endpoints/{endpoint:str}/history", action=Action.READ_STATUS, sync_to_thread=True)
def history(context: Shared, endpoint: FromPath[str]) -> list[EndpointChange]:
    """Every change of an endpoint, oldest first."""
    return list(context.services.history(endpoint))


@post("/v1/labels", action=Action.ADD_LABELS, sync_to_thread=True, status_code=200)
def add_labels(
    request: Request[Any, Any, Any], context: Shared, data: JSONBody[LabelsBody]
) -> Accepted:
    """Keep the truth about predictions; 200 means that it is on disk. Sending twice is harmless.

    A label may come before its prediction can be found, so an unknown id is no error.
    """
    wrong = [one for one in data.labels if not 0 < len(one.prediction_id) <= _MAX_ID]
    if wrong:
        raise MalformedRequest(
            f"{len(wrong)} prediction ids are empty or longer than {_MAX_ID}",
            next_step="send the prediction_id that came with the answer",
        )
    now_ns = time.time_ns()
    labels = [
        Label(
            prediction_id=one.prediction_id,
            value=one.value,
            observed_at_ns=now_ns if one.observed_at is None else _nanoseconds(one.observed_at),
        )
        for one in data.labels
    ]
    count = context.services.add_labels(labels, by=_caller(request).label) if labels else 0
    return Accepted(count)


@post(
    "/v1/endpoints/{endpoint:str}/promote",
    action=Action.PROMOTE,
    sync_to_thread=True,
    status_code=200,
)
def promote(
    request: Request[Any, Any, Any],
    context: Shared,
    endpoint: FromPath[str],
    data: JSONBody[MoveBody],
) -> EndpointState:
    """Make a version live; it answers every request that begins after this has returned.

    Against the verdict (``force``) only an admin may.
    """
    if data.force:
        _permit(request, Action.FORCE)
    return context.services.move(_move("promote", endpoint, data, _caller(request)))


@post(
    "/v1/endpoints/{endpoint:str}/rollback",
    action=Action.ROLL_BACK,
    sync_to_thread=True,
    status_code=200,
)
def rollback(
    request: Request[Any, Any, Any],
    context: Shared,
    endpoint: FromPath[str],
    data: JSONBody[MoveBody],
) -> EndpointState:
    """Make the version before live again, or the one that is named."""
    return context.services.move(_move("rollback", endpoint, data, _caller(request)))


@get(
    "/openapi.json",
    action=Action.READ_STATUS,
    sync_to_thread=False,
    include_in_schema=False,
)
def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """What there is, as OpenAPI 3.1."""
    return request.app.openapi_schema.to_schema()


def _move(action: str, endpoint: str, body: MoveBody, by: Caller) -> Move:
    return Move(
        action=action,
        endpoint=endpoint,
        version=None if body.version is None else str(body.version),
        by=by.label,
        names=by.names,
        reason=body.reason,
        force=body.force,
        expected=body.expected,
    )


def _caller(request: Request[Any, Any, Any]) -> Caller:
    caller: Caller = request.scope["state"][CALLER]
    return caller


def _nanoseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise UsageError(
            f"observed_at {moment.isoformat()} has no time zone",
            next_step="write it as 2013-04-01T12:00:00Z",
        )
    return nanoseconds(moment)


def _told(_: Request[Any, Any, Any], error: ShipwayError) -> Response[dict[str, Any]]:
    return Response(error_body(error), status_code=http_status(error))


def _told_by_framework(
    request: Request[Any, Any, Any], error: HTTPException
) -> Response[dict[str, Any]]:
    """What Litestar refuses by itself, in the words of the rest."""
    if error.status_code == 404:
        told: ShipwayError = NotFoundError(
            f"there is nothing at {request.scope['path'][:64]!r}",
            next_step="see /openapi.json for what there is",
        )
    else:
        faults = error.extra if isinstance(error.extra, list) else []
        told = MalformedRequest(
            error.detail.splitlines()[0] if error.detail else "the request is malformed",
            next_step="see /openapi.json for what is expected",
            problems=[
                Problem(MalformedRequest.code, str(one.get("message")), str(one.get("key", "")))
                for one in faults
                if isinstance(one, dict)
            ],
        )
    return Response(
        error_body(told), status_code=error.status_code, headers=dict(error.headers or {})
    )


def _told_too_deep(_: Request[Any, Any, Any], __: RecursionError) -> Response[dict[str, Any]]:
    error = MalformedRequest("the body is nested too deeply", next_step="see /openapi.json")
    return Response(error_body(error), status_code=http_status(error))


def _told_nothing(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """A fault of ours: the log has it, the caller does not."""
    _log.error("a control request failed", exc_info=error)
    body = {"error": "the server failed", "code": "server.failed", "next": "look at its log"}
    return Response(body, status_code=500)
