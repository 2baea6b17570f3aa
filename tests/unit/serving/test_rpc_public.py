"""The services beside inference have the names and the numbers of the public protocols."""

from __future__ import annotations

from typing import Any

import pytest
from grpc_health.v1 import health_pb2 as health
from grpc_reflection.v1alpha import reflection_pb2 as reflection

from shipway.serving.rpc import health_pb2, reflection_pb2


def fields(message: Any) -> dict[str, tuple[object, ...]]:
    """What of a message is on the wire."""
    return {
        one.name: (
            one.number,
            one.type,
            one.is_repeated,
            one.containing_oneof.name if one.containing_oneof else "",
        )
        for one in message.fields
    }


@pytest.mark.parametrize(
    ("ours", "theirs"), [(health_pb2, health), (reflection_pb2, reflection)], ids=["health", "refl"]
)
def test_numbers(ours: Any, theirs: Any) -> None:
    """Every message and field of ours has the number and the type that clients know."""
    known = theirs.DESCRIPTOR.message_types_by_name
    for name, message in ours.DESCRIPTOR.message_types_by_name.items():
        assert fields(message).items() <= fields(known[name]).items(), name


def test_statuses_of_health() -> None:
    """The words of health have their numbers."""
    ours = health_pb2.HealthCheckResponse.ServingStatus.items()
    assert ours == health.HealthCheckResponse.ServingStatus.items()
