"""The door of the gRPC port: every call passes it, whatever method it names.

Who is calling is asked before a byte of the message is waited for, so a stranger holds nothing.
What no service answers needs a key like anything else. Calls are counted in at the door and
refused above a limit, strangers apart from callers: neither can take the other's room.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from shipway.errors import (
    EnvironmentFailure,
    MalformedRequest,
    ShipwayError,
    TooLarge,
    UsageError,
)
from shipway.security.policy import Scope
from shipway.serving.access import Access, Credentials
from shipway.serving.http.limits import Limits
from shipway.serving.http2.conversation import Conversation
from shipway.serving.http2.heads import Head
from shipway.serving.routes import DESCRIBE
from shipway.serving.rpc.blocks import TAKEN, not_grpc
from shipway.serving.rpc.calls import Asked, Call, Method, Streaming, Unary
from shipway.serving.rpc.refusing import CallRefused, Room, failed
from shipway.serving.rpc.statuses import Status

_log = logging.getLogger(__name__)
_CREDENTIALS = (b"authorization", b"x-api-key")
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CONTENT = re.compile(rb"application/grpc(?:\+proto)?(?:[ \t]*;.*)?", re.IGNORECASE)
_NEVER = float("inf")
_REMEMBERED_S = 0.25
OPEN_CALLS = 64
"""How many calls of strangers, who can ask for nothing but health, are answered at a time."""


class Door:
    """Finds the method of a call, asks who is calling, and tells every error in one form."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        access: Callable[[], Access],
        limits: Limits,
        max_calls: int,
        refused: Callable[[ShipwayError], None],
    ) -> None:
        self.limits = limits
        self._methods = {name.encode(): method for name, method in methods.items()}
        self._access = access
        self._refused = refused
        self._callers = Room(max_calls, "callers")
        self._strangers = Room(OPEN_CALLS, "strangers")
        self._streaming: set[Call] = set()
        self._unknown = Unary(DESCRIBE, _not_answered, bare=True)

    def open(self, talk: Conversation, number: int, head: Head) -> Call:
        """The call that begins with *head*."""
        return Call(self, talk, number, head)

    def end_streams(self) -> None:
        """End the calls that never end by themselves; unary ones go on."""
        step = "ask another one"
        error = EnvironmentFailure("this server is shutting down", next_step=step)
        for call in list(self._streaming):
            call.refuse(CallRefused(error))

    # ---- called by the calls ------------------------------------------------------------------

    def begin(self, call: Call) -> None:
        """Let *call* in, or answer it here."""
        head = call.head
        asked = head.made
        if asked.__class__ is not Asked:
            asked = self._read(call, head)
            if asked is None:
                return
        call.asked = asked
        method = asked.method
        room = self._strangers if method.scope is None else self._callers
        try:
            if room.now >= room.most:
                raise room.full()
            room.now += 1
            call.room = room
            if method.scope is not None:
                call.caller = self._caller(call, asked, method.scope)
            if asked.refused is not None:
                raise asked.refused
        except (ShipwayError, CallRefused) as error:
            self.refuse(call, error)
            return
        if isinstance(method, Streaming):
            self._streaming.add(call)
        elif method.bare:
            self.take(call, b"")

    def take(self, call: Call, body: bytes) -> None:
        """Hand a message on."""
        asked = call.asked
        if asked is None:
            return
        method = asked.method
        try:
            if isinstance(method, Streaming):
                method.hear(call, body)
                return
            answer = method.answer(call, body)
            if isinstance(answer, bytes):
                call.answer(answer)
            elif answer is not None:
                call.refuse(CallRefused(answer))
        except (ShipwayError, CallRefused) as error:
            self.refuse(call, error)
        except Exception as error:  # an outermost loop: a fault of ours must not end the worker
            call.refuse(failed(error))

    def ended(self, call: Call) -> None:
        """The client of a call that streams has sent all."""
        if call.asked is not None and isinstance(call.asked.method, Streaming):
            try:
                call.asked.method.ended(call)
            except (ShipwayError, CallRefused) as error:
                self.refuse(call, error)

    def left(self, call: Call) -> None:
        """A call that streams is over."""
        self._streaming.discard(call)
        if call.asked is not None and isinstance(call.asked.method, Streaming):
            call.asked.method.left(call)

    def refuse(self, call: Call, refused: ShipwayError | CallRefused) -> None:
        """Count an error and tell it."""
        told = CallRefused(refused) if isinstance(refused, ShipwayError) else refused
        self._refused(told.error)
        call.refuse(told)

    def authorise(self, scope: Scope, call: Call) -> str:
        """The id of who is calling; raises for whoever may not do what needs *scope*."""
        return self._access().allow(_credentials(call), scope).id

    # ---- heads --------------------------------------------------------------------------------

    def _caller(self, call: Call, asked: Asked, scope: Scope) -> str:
        access = self._access()
        if asked.access is access and call.started < asked.until:
            access.count(asked.caller)
            return asked.caller
        caller = access.allow(_credentials(call), scope).id
        asked.access, asked.caller = access, caller
        asked.until = call.started + _REMEMBERED_S
        return caller

    def _read(self, call: Call, head: Head) -> Asked | None:
        """What *head* asks for; None if it is no call of gRPC, which has been said then."""
        if head.excess:
            self.refuse(call, _too_large(self.limits))
            return None
        status = _no_grpc(head)
        if status is not None:
            call.talk.outflow.send_head_alone(call, not_grpc(status))
            return None
        asked = head.made = Asked(self._methods.get(head.path, self._unknown))
        try:
            asked.timeout_s = _timeout_s(head.headers.get(b"grpc-timeout"))
            asked.packed = _packed(head.headers.get(b"grpc-encoding"))
        except ShipwayError as error:
            asked.refused = CallRefused(error)
        except CallRefused as refused:
            asked.refused = refused
        return asked


def _no_grpc(head: Head) -> HTTPStatus | None:
    if _CONTENT.fullmatch(head.headers.get(b"content-type", b"")) is None:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return None if head.method == b"POST" else HTTPStatus.METHOD_NOT_ALLOWED


def _timeout_s(text: bytes | None) -> float:
    if text is None:
        return _NEVER
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise MalformedRequest(
            "grpc-timeout is no time", next_step="send up to eight digits and a unit: 500m"
        )
    return int(found[1]) * _SECONDS[found[2]]


def _packed(coding: bytes | None) -> bool:
    if coding is None or coding == b"identity":
        return False
    if coding != b"gzip":
        error = UsageError(
            "a message of this coding is not read here", next_step=f"send one of {TAKEN}"
        )
        raise CallRefused(error, Status.UNIMPLEMENTED)
    return True


def _credentials(call: Call) -> Credentials:
    """What the caller showed; of the metadata, more than one of a kind is refused."""
    headers = call.head.headers
    for name in call.head.repeated:
        if name in _CREDENTIALS:
            raise MalformedRequest(f"{name.decode()} came more than once", next_step="send it once")
    return Credentials(headers, call.talk.certificate)


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(
        f"the metadata is over {limits.max_head_bytes} bytes or {limits.max_headers} entries",
        next_step="send less, or raise serve.max_head_bytes or serve.max_headers",
    )


def _not_answered(call: Call, _: bytes) -> None:
    error = UsageError(
        "no such method is answered here",
        next_step="use ModelInfer; reflection tells every method that there is",
    )
    raise CallRefused(error, Status.UNIMPLEMENTED)
