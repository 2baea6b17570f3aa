"""The one table from error class to HTTP status, and the body that an error is told with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shipway.errors import (
    AccessError,
    ConflictError,
    DataError,
    DeadlineExceeded,
    EnvironmentFailure,
    GateRefused,
    IntegrityError,
    LimitError,
    ModelError,
    NotAuthenticated,
    NotFoundError,
    Overloaded,
    RateLimited,
    ShipwayError,
    TooLarge,
    UnsupportedMedia,
    UsageError,
)

ErrorForm = Callable[[ShipwayError], dict[str, Any]]
"""How one protocol's clients read an error."""

STATUS: dict[type[ShipwayError], int] = {
    UsageError: 400,
    UnsupportedMedia: 415,
    DataError: 422,
    ModelError: 500,
    NotFoundError: 404,
    ConflictError: 409,
    GateRefused: 409,
    NotAuthenticated: 401,
    AccessError: 403,
    IntegrityError: 500,
    TooLarge: 413,
    Overloaded: 503,
    RateLimited: 429,
    DeadlineExceeded: 504,
    LimitError: 503,
    EnvironmentFailure: 503,
}
"""Looked up along the class's ancestors: the nearest entry holds for all that is below it."""


def http_status(error: ShipwayError) -> int:
    """The status for *error*: of its class, or of the nearest ancestor that has one.

    >>> http_status(NotAuthenticated("no key", next_step="send one"))
    401
    """
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def error_body(error: ShipwayError) -> dict[str, Any]:
    """What a client reads: ``error`` as the Open Inference Protocol wants it, and the rest.

    ``code`` is stable, ``next`` says what to do; ``problems`` are there where there are any.
    """
    body: dict[str, Any] = {"error": error.message, "code": error.code, "next": error.next_step}
    if error.problems:
        body["problems"] = [
            {"code": one.code, "message": one.message, "where": one.where, "hint": one.hint}
            for one in error.problems
        ]
    return body


_MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def mlflow_error_body(error: ShipwayError) -> dict[str, Any]:
    """The same as :func:`error_body` with what MLflow's clients look for.

    >>> mlflow_error_body(NotAuthenticated("no key", next_step="send one"))["error_code"]
    'UNAUTHENTICATED'
    """
    code = _MLFLOW_CODES.get(http_status(error), "BAD_REQUEST")
    return {"error_code": code, "message": error.message, **error_body(error)}
