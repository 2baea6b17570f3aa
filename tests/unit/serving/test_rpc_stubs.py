"""The messages are those of the public protocol, and the committed ones are made of our file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.triton_grpc import model_config_pb2, service_pb2

from shipway.serving.rpc import open_inference_pb2

STUBS = Path(__file__).parents[3] / "docs" / "stubs.py"
OURS = open_inference_pb2.DESCRIPTOR


def fields(message: Any) -> dict[str, tuple[object, ...]]:
    """What of a message is on the wire, by the names that its JSON form has."""
    return {
        one.name: (
            one.number,
            one.type,
            one.is_repeated,
            one.containing_oneof.name if one.containing_oneof else "",
            one.message_type.full_name if one.message_type else "",
            one.enum_type.full_name if one.enum_type else "",
        )
        for one in message.fields
    }


def nested(message: Any, above: str = "") -> dict[str, Any]:
    """A message and those within it, by name."""
    name = f"{above}.{message.name}" if above else message.name
    found = {name: message}
    for below in message.nested_types:
        found |= nested(below, name)
    return found


def of(file: Any) -> dict[str, Any]:
    """Every message of a file."""
    found: dict[str, Any] = {}
    for message in file.message_types_by_name.values():
        found |= nested(message)
    return found


def test_fresh() -> None:
    """What is committed is what the protocol's file gives."""
    command = [sys.executable, str(STUBS), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_numbers_of_tritonclient() -> None:
    """Every message and field of ours has the number and the type that tritonclient knows."""
    theirs = of(service_pb2.DESCRIPTOR) | of(model_config_pb2.DESCRIPTOR)
    for name, message in of(OURS).items():
        assert fields(message).items() <= fields(theirs[name]).items(), name
    kinds = model_config_pb2.DESCRIPTOR.enum_types_by_name["DataType"].values_by_name
    ours = OURS.enum_types_by_name["DataType"].values_by_name
    assert {n: v.number for n, v in ours.items()} == {n: v.number for n, v in kinds.items()}


def test_methods_of_tritonclient() -> None:
    """Every method of ours takes and gives the messages that tritonclient sends and reads."""
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    for method in OURS.services_by_name["GRPCInferenceService"].methods:
        other = theirs[method.name]
        assert method.input_type.full_name == other.input_type.full_name
        assert method.output_type.full_name == other.output_type.full_name
        assert (other.client_streaming, other.server_streaming) == (False, False)


def test_a_pool_of_its_own() -> None:
    """Ours and a client's messages of the same names live in one process."""
    assert service_pb2.ModelInferRequest.DESCRIPTOR.full_name == "inference.ModelInferRequest"
    with pytest.raises(TypeError):
        service_pb2.ModelInferRequest().CopyFrom(open_inference_pb2.ModelInferRequest())
