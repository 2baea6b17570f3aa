"""Reflection: which methods there are and what their messages look like, told to callers alone.

Older clients ask for ``grpc.reflection.v1alpha``, newer ones for ``v1``: the messages are alike.
"""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message import DecodeError

from shipway.errors import MalformedRequest
from shipway.serving.routes import DESCRIBE
from shipway.serving.rpc import health_pb2, open_inference_pb2, reflection_pb2
from shipway.serving.rpc.calls import Call, Method, Streaming
from shipway.serving.rpc.statuses import Status

_METHOD = "ServerReflectionInfo"
_NEW, _OLD = "grpc.reflection.v1", "grpc.reflection.v1alpha"


class Reflection:
    """The reflection service over all that this server answers."""

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        self._names: list[str] = []
        for file in (health_pb2, open_inference_pb2, reflection_pb2):
            self._add(file.DESCRIPTOR.serialized_pb)
        self._add(_older(reflection_pb2.DESCRIPTOR).SerializeToString())

    def methods(self) -> dict[str, Method]:
        """The one method of the service, by both of its names."""
        info = Streaming(DESCRIBE, self._asked, Call.finish, _nothing)
        return {f"/{package}.ServerReflection/{_METHOD}": info for package in (_NEW, _OLD)}

    def _add(self, file: bytes) -> None:
        self._pool.AddSerializedFile(file)
        described = FileDescriptorProto.FromString(file)
        self._names += [f"{described.package}.{service.name}" for service in described.service]

    def _asked(self, call: Call, body: bytes) -> None:
        try:
            request = reflection_pb2.ServerReflectionRequest.FromString(body)
        except DecodeError as error:
            raise MalformedRequest(
                "the message is no ServerReflectionRequest", next_step="send one"
            ) from error
        call.say(self._answer(request).SerializeToString())

    def _answer(
        self, request: reflection_pb2.ServerReflectionRequest
    ) -> reflection_pb2.ServerReflectionResponse:
        response = reflection_pb2.ServerReflectionResponse(
            valid_host=request.host, original_request=request
        )
        try:
            match request.WhichOneof("message_request"):
                case "list_services":
                    for name in sorted(self._names):
                        response.list_services_response.service.add(name=name)
                case "file_by_filename":
                    _tell(response, self._pool.FindFileByName(request.file_by_filename))
                case "file_containing_symbol":
                    name = request.file_containing_symbol
                    _tell(response, self._pool.FindFileContainingSymbol(name))
                case "all_extension_numbers_of_type":  # there is no extension of anything
                    name = request.all_extension_numbers_of_type
                    self._pool.FindMessageTypeByName(name)
                    response.all_extension_numbers_response.base_type_name = name
                case _:
                    raise KeyError
        except KeyError:
            response.error_response.error_code = Status.NOT_FOUND
            response.error_response.error_message = "nothing of that name is known here"
        return response


def _tell(response: reflection_pb2.ServerReflectionResponse, file: FileDescriptor) -> None:
    """*file* and what it needs, which is nothing: no file of ours imports another."""
    response.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)


def _older(file: FileDescriptor) -> FileDescriptorProto:
    """The same file in the package of before."""
    described = FileDescriptorProto.FromString(file.serialized_pb)
    text = MessageToJson(described, preserving_proto_field_name=True)
    text = text.replace(_NEW, _OLD).replace("reflection.proto", "reflection_v1alpha.proto")
    return Parse(text, FileDescriptorProto())


def _nothing(_: Call) -> None:
    """Nothing is held for a call."""
