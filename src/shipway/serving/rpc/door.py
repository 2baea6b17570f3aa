"""The door of the gRPC port: every call passes it, whatever method it names.

Who is calling is asked before a byte of the message is waited for, so a stranger holds nothing.
What no service answers needs a key like anything else. Calls are counted in at the door and
refused above a limit, strangers apart from callers: neither can take the other's room.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Never

import grpc
from grpc import StatusCode, aio

from shipway.errors import (
    DeadlineExceeded,
    EnvironmentFailure,
    MalformedRequest,
    Overloaded,
    PredictionFailed,
    ShipwayError,
    UsageError,
)
from shipway.security.certificates import grpc_certificate
from shipway.security.policy import Scope
from shipway.serving.access import Access, Credentials
from shipway.serving.http.limits import Limits
from shipway.serving.routes import DESCRIBE
from shipway.serving.rpc.statuses import grpc_status, told_text, trailers

_log = logging.getLogger(__name__)
_CREDENTIALS = frozenset({"authorization", "x-api-key"})
OPEN_CALLS = 64
"""How many calls of strangers, who can ask for nothing but health, are answered at a time."""

Context = aio.ServicerContext[bytes, bytes]


@dataclass(slots=True)
class Call:
    """One call that was let in; ``caller`` is empty where nobody was asked.

    ``receive`` waits for its message, or for the next, in the time that a request has.
    """

    caller: str
    context: Context
    receive: Callable[[], Awaitable[bytes]]


class CallRefused(Exception):
    """A call ends here: an error, and the status where gRPC is more exact than the table."""

    def __init__(self, error: ShipwayError, code: StatusCode | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = grpc_status(error) if code is None else code


class Unary(NamedTuple):
    """A method that answers one message with one: ``scope`` None lets anybody call it.

    ``bare`` says that the message is not even waited for. An error that is returned was counted
    already; one that is raised is counted at the door.
    """

    scope: Scope | None
    answer: Callable[[Call, bytes], Awaitable[bytes | ShipwayError]]
    bare: bool = False


class Stream(NamedTuple):
    """A method that reads and writes messages by itself, and may never end by itself."""

    scope: Scope
    run: Callable[[Call], Awaitable[None]]


Method = Unary | Stream


class Door(grpc.GenericRpcHandler):
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
        self.methods = methods
        self._access = access
        self._limits = limits
        self._refused = refused
        self._callers = _Room(max_calls, "callers")
        self._strangers = _Room(OPEN_CALLS, "strangers")
        self._streams: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._handlers = {name: self._handler(method) for name, method in methods.items()}
        self._unknown = self._handler(Stream(DESCRIBE, _not_answered))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """What handles the call, never None: what is not known must not be told to strangers."""
        return self._handlers.get(handler_call_details.method, self._unknown)

    def end_streams(self) -> None:
        """End the calls that never end by themselves; unary ones go on."""
        self._closing = True
        for task in self._streams:
            task.cancel()

    def _handler(self, method: Method) -> Any:
        # The message is read by hand, after the caller is known: gRPC's own unary handlers wait
        # for it first. On the wire there is no difference.
        # gRPC asks each time whether a handler is a coroutine function, which a partial hides.
        if isinstance(method, Stream):

            async def run(_: object, context: Context) -> None:
                await self._run(method, context)

            return grpc.stream_stream_rpc_method_handler(run)

        async def answer(_: object, context: Context) -> bytes:
            return await self._answer(method, context)

        return grpc.stream_unary_rpc_method_handler(answer)

    async def _answer(self, method: Unary, context: Context) -> bytes:
        room = self._strangers if method.scope is None else self._callers
        try:
            with room:
                caller = "" if method.scope is None else self.authorise(method.scope, context)
                call = Call(caller, context, partial(self._receive, context))
                body = b"" if method.bare else await self._receive(context)
                answer = await method.answer(call, body)
            if isinstance(answer, bytes):
                return answer
            told = CallRefused(answer)
        except (ShipwayError, CallRefused) as error:
            told = self._counted(error)
        except Exception:  # an outermost loop: a fault of ours must not end the worker
            told = _fault()
        return await _abort(context, told)

    async def _run(self, method: Stream, context: Context) -> None:
        task = asyncio.current_task()
        try:
            with self._callers:
                caller = self.authorise(method.scope, context)
                if task is not None:
                    self._streams.add(task)
                await method.run(Call(caller, context, partial(self._receive, context)))
            return
        except (ShipwayError, CallRefused) as error:
            told = self._counted(error)
        except asyncio.CancelledError:
            if not self._closing:
                raise
            step = "ask another one"
            told = CallRefused(EnvironmentFailure("this server is shutting down", next_step=step))
        except Exception:  # an outermost loop, as above
            told = _fault()
        finally:
            if task is not None:
                self._streams.discard(task)
        await _abort(context, told)

    def authorise(self, scope: Scope, context: Context) -> str:
        """The id of who is calling; raises for whoever may not do what needs *scope*."""
        return self._access().allow(_credentials(context), scope).id

    async def _receive(self, context: Context) -> bytes:
        """The message of a call, which must come in the time that a request has."""
        allowed = self._limits.request_timeout_s
        try:
            async with asyncio.timeout(allowed):
                message = await context.read()
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the message of the call did not arrive in {allowed:g} s",
                next_step="send faster, or raise serve.request_timeout_s",
            ) from error
        if not isinstance(message, bytes):
            raise MalformedRequest("the call came without a message", next_step="send one")
        return message

    def _counted(self, refused: ShipwayError | CallRefused) -> CallRefused:
        told = CallRefused(refused) if isinstance(refused, ShipwayError) else refused
        self._refused(told.error)
        return told


class _Room:
    """How many calls there are, and may be; a context manager around each."""

    def __init__(self, most: int, whose: str) -> None:
        self._most = most
        self._whose = whose
        self._now = 0

    def __enter__(self) -> None:
        if self._now >= self._most:
            raise Overloaded(
                f"{self._now} calls of {self._whose} are open in this worker already",
                next_step="try again in a second, or raise serve.grpc_max_calls",
                retry_after_s=1,
            )
        self._now += 1

    def __exit__(self, *_: object) -> None:
        self._now -= 1


async def _abort(context: Context, told: CallRefused) -> Never:
    await context.abort(told.code, told_text(told.error), trailers(told.error, told.code))


def _fault() -> CallRefused:
    _log.exception("a call failed")
    step = "look at the server's log"
    return CallRefused(PredictionFailed("the server failed to answer", next_step=step))


def _credentials(context: Context) -> Credentials:
    """What the caller showed; of the metadata, more than one of a kind is refused."""
    found: dict[bytes, bytes] = {}
    for key, value in context.invocation_metadata() or ():
        if key not in _CREDENTIALS:
            continue
        name = key.encode()
        if name in found:
            raise MalformedRequest(f"{key} came more than once", next_step="send it once")
        found[name] = value if isinstance(value, bytes) else value.encode()
    # A header counts before a certificate, which costs more to ask for.
    return Credentials(found, None if found else grpc_certificate(context.auth_context()))


async def _not_answered(call: Call) -> None:
    error = UsageError(
        "no such method is answered here",
        next_step="use ModelInfer; reflection tells every method that there is",
    )
    raise CallRefused(error, StatusCode.UNIMPLEMENTED)
