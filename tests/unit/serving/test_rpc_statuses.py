"""One table from error to gRPC status, and what is told in the trailing metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

from shipway import errors
from shipway.errors import ContractViolated, Overloaded, Problem, ShipwayError
from shipway.serving.rpc.statuses import STATUS, Status, grpc_status, told_text, trailers
from shipway.serving.statuses import http_status

FIELD = descriptor_pb2.FieldDescriptorProto
ALIKE = {
    400: {Status.INVALID_ARGUMENT},
    401: {Status.UNAUTHENTICATED},
    403: {Status.PERMISSION_DENIED},
    404: {Status.NOT_FOUND},
    409: {Status.ABORTED, Status.FAILED_PRECONDITION},
    413: {Status.RESOURCE_EXHAUSTED},
    415: {Status.INVALID_ARGUMENT},
    422: {Status.INVALID_ARGUMENT},
    429: {Status.RESOURCE_EXHAUSTED},
    500: {Status.INTERNAL, Status.DATA_LOSS},
    503: {Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED},
    504: {Status.DEADLINE_EXCEEDED},
}


def kinds(kind: type[ShipwayError] = ShipwayError) -> Iterator[type[ShipwayError]]:
    """Every class of the tree that somebody raises."""
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
            yield from kinds(below)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_the_same_over_both(kind: type[ShipwayError]) -> None:
    """An error has over gRPC the status that belongs to its status over HTTP."""
    error = kind("it happened", next_step="mend it")
    assert grpc_status(error) in ALIKE[http_status(error)]
    assert any(above in STATUS for above in kind.__mro__)


def test_numbers_are_those_of_grpc() -> None:
    """Every status has the name and the number that clients know."""
    assert {one.name: one.value for one in Status} == {one.name: one.value[0] for one in StatusCode}


def test_details_are_google_rpc_status() -> None:
    """What is written by hand reads as google.rpc.Status with RetryInfo and BadRequest."""
    full = Overloaded("voll ü", next_step="wait", retry_after_s=300)
    status = parsed(full)
    assert (status.code, status.message) == (8, "voll ü. Next: wait")
    (detail,) = status.details
    assert detail.type_url == "type.googleapis.com/google.rpc.RetryInfo"
    assert message("RetryInfo").FromString(detail.value).retry_delay.seconds == 300
    problems = [Problem("c", "too large", "row 1, column x", "at most 7")] * 40
    status = parsed(ContractViolated("wrong", next_step="mend", problems=problems))
    (detail,) = status.details
    violations = message("BadRequest").FromString(detail.value).field_violations
    assert (violations[0].field, violations[0].reason) == ("row 1, column x", "c")
    assert violations[0].description == "too large (at most 7)"
    assert len(violations) == 16


def test_what_is_told_is_bounded() -> None:
    """However much is wrong, the metadata stays below what clients take."""
    problems = [Problem("c" * 20, "m" * 9000, "w" * 9000)] * 100
    error = ContractViolated("x" * 9000, next_step="mend", problems=problems)
    size = len(told_text(error).encode()) + sum(
        len(key) + len(value) for key, value in trailers(error)
    )
    assert size < 16_000


def test_the_code_is_always_there() -> None:
    """Each error brings its stable code."""
    assert trailers(errors.NotAuthenticated("who?", next_step="say")) == (
        ("shipway-code", "access.not-authenticated"),
    )


def parsed(error: ShipwayError) -> Any:
    """The Status in the trailing metadata."""
    return message("Status").FromString(dict(trailers(error))["grpc-status-details-bin"])


def message(name: str) -> Any:
    """A message of google.rpc, as its published files describe it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="rpc.proto", package="google.rpc", syntax="proto3"
    )
    text, number, whole = FIELD.TYPE_STRING, FIELD.TYPE_INT32, FIELD.TYPE_INT64
    described: dict[str, list[tuple[str, int, Any, str]]] = {
        "Any": [("type_url", 1, text, ""), ("value", 2, FIELD.TYPE_BYTES, "")],
        "Status": [("code", 1, number, ""), ("message", 2, text, ""), ("details", 3, 0, "Any")],
        "Duration": [("seconds", 1, whole, ""), ("nanos", 2, number, "")],
        "RetryInfo": [("retry_delay", 1, -1, "Duration")],
        "FieldViolation": [
            ("field", 1, text, ""),
            ("description", 2, text, ""),
            ("reason", 3, text, ""),
        ],
        "BadRequest": [("field_violations", 1, 0, "FieldViolation")],
    }
    for one, fields in described.items():
        made = file.message_type.add(name=one)
        for field, place, kind, of in fields:
            label = FIELD.LABEL_REPEATED if kind == 0 else FIELD.LABEL_OPTIONAL
            added = made.field.add(name=field, number=place, label=label)
            if of:
                added.type, added.type_name = FIELD.TYPE_MESSAGE, f".google.rpc.{of}"
            else:
                added.type = kind
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))
