"""tritonclient's gRPC client, as it is, beside other clients in one process.

It registers the package ``inference`` in the process's one pool of descriptors, and so does kserve:
whichever is imported second fails. Here it gets a pool of its own; what it sends is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from google.protobuf import descriptor_pool


@contextmanager
def _own_pool() -> Iterator[None]:
    pool = descriptor_pool.DescriptorPool()
    with patch.object(descriptor_pool, "Default", lambda: pool):
        yield


with _own_pool():
    from tritonclient import grpc as triton
    from tritonclient.grpc import aio, model_config_pb2, service_pb2

__all__ = ["aio", "model_config_pb2", "service_pb2", "triton"]
