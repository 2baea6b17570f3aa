"""Reflection: which methods there are and what their messages look like, told to callers alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio as reflection

from shipway.errors import MalformedRequest
from shipway.serving.routes import DESCRIBE
from shipway.serving.rpc import open_inference_pb2
from shipway.serving.rpc.door import Call, Method, Stream

SERVICE = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
_FILES: tuple[FileDescriptor, ...] = (
    open_inference_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
)


class Reflection:
    """The reflection service over all that this server answers."""

    def __init__(self) -> None:
        pool = DescriptorPool()
        names = []
        for file in _FILES:
            pool.AddSerializedFile(file.serialized_pb)
            names += [service.full_name for service in file.services_by_name.values()]
        self._servicer = reflection.ReflectionServicer(names, pool)

    def methods(self) -> dict[str, Method]:
        """The one method of the service."""
        return {f"/{SERVICE.full_name}/ServerReflectionInfo": Stream(DESCRIBE, self._info)}

    async def _info(self, call: Call) -> None:
        async for response in self._servicer.ServerReflectionInfo(_requests(call), None):
            await call.context.write(response.SerializeToString())


async def _requests(call: Call) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    while isinstance(message := await call.context.read(), bytes):
        try:
            yield reflection_pb2.ServerReflectionRequest.FromString(message)
        except DecodeError as error:
            raise MalformedRequest(
                "the message is no ServerReflectionRequest", next_step="send one"
            ) from error
