"""Who acts now: set once where a request or a command comes in, read where the change is made.

It travels with the task and with the threads that work for it, not through the arguments of all
that lies between: an argument can be forgotten, and then nobody did it.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who does something, and from where: ids alone, never names that people are called by.

    ``id`` is the caller's id or ``user:<name>``; ``key`` is the id of the key that was shown,
    ``user`` the operating system's user, for whom no caller stands; ``source`` is the address
    that the request came from and ``request`` its id.
    """

    id: str
    key: str = ""
    user: str = ""
    source: str = ""
    request: str = ""


_ACTING: ContextVar[Actor | None] = ContextVar("shipway_acting", default=None)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Within the block, in this task and the threads that it starts work in, *actor* acts."""
    token = _ACTING.set(actor)
    try:
        yield
    finally:
        _ACTING.reset(token)


def actor_now() -> Actor:
    """Who acts: of no request, whoever this process belongs to."""
    return _ACTING.get() or process_owner()


def process_owner() -> Actor:
    """The operating system's user that this process belongs to; no variable says otherwise."""
    user = system_user()
    return Actor(id=f"user:{user}", user=user)


def system_user() -> str:
    """The name of that user, or ``uid-<number>`` for one without a name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid-{os.geteuid()}"
