"""The one table from error class to gRPC status, and the metadata that an error is told with.

Source of the details: ``google.rpc.Status`` in ``grpc-status-details-bin``, with ``RetryInfo`` and
``BadRequest`` of ``google/rpc/error_details.proto``. They are written by hand: four messages do
not call for another dependency.
"""

from __future__ import annotations

from enum import IntEnum

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
    Problem,
    RateLimited,
    ShipwayError,
    UsageError,
)


class Status(IntEnum):
    """How a call ended: the numbers of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


Metadata = tuple[tuple[str, str | bytes], ...]

STATUS: dict[type[ShipwayError], Status] = {
    UsageError: Status.INVALID_ARGUMENT,
    DataError: Status.INVALID_ARGUMENT,
    ModelError: Status.INTERNAL,
    NotFoundError: Status.NOT_FOUND,
    ConflictError: Status.ABORTED,
    GateRefused: Status.FAILED_PRECONDITION,
    NotAuthenticated: Status.UNAUTHENTICATED,
    AccessError: Status.PERMISSION_DENIED,
    IntegrityError: Status.DATA_LOSS,
    DeadlineExceeded: Status.DEADLINE_EXCEEDED,
    LimitError: Status.RESOURCE_EXHAUSTED,
    EnvironmentFailure: Status.UNAVAILABLE,
}
"""Looked up along the class's ancestors: the nearest entry holds for all that is below it."""

CODE_KEY = "shipway-code"
_DETAILS_KEY = "grpc-status-details-bin"
_TYPE = "type.googleapis.com/google.rpc."
_TEXT = 2048  # metadata of more than 8 KiB is more than clients take
_PROBLEMS = 16
_SHORT = 200


def grpc_status(error: ShipwayError) -> Status:
    """The status for *error*: of its class, or of the nearest ancestor that has one.

    >>> grpc_status(Overloaded("full", next_step="wait")).name
    'RESOURCE_EXHAUSTED'
    """
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), Status.UNKNOWN)


def told_text(error: ShipwayError) -> str:
    """What happened and what to do, in the one text that a gRPC status has."""
    return f"{error.message}. Next: {error.next_step}"[:_TEXT]


def trailers(error: ShipwayError, code: Status | None = None) -> Metadata:
    """The stable code of *error*, when to try again, and every problem it has."""
    details = []
    if isinstance(error, Overloaded | RateLimited):
        delay = _field(1, _number(1, max(1, error.retry_after_s)))
        details.append(_any("RetryInfo", delay))
    if error.problems:
        violations = b"".join(_field(1, _violation(one)) for one in error.problems[:_PROBLEMS])
        details.append(_any("BadRequest", violations))
    stable: Metadata = ((CODE_KEY, error.code),)
    if not details:
        return stable
    number = (code or grpc_status(error)).value
    status = _number(1, number) + _text(2, told_text(error)) + b"".join(details)
    return (*stable, (_DETAILS_KEY, status))


def _violation(problem: Problem) -> bytes:
    described = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    return _text(1, problem.where[:_SHORT]) + _text(2, described[:_SHORT]) + _text(3, problem.code)


def _any(name: str, value: bytes) -> bytes:
    return _field(3, _text(1, _TYPE + name) + _field(2, value))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return bytes((number << 3,)) + _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
