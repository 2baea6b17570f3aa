"""Who is calling, once that is known, and what a caller may do.

A caller is the same thing whether a key, a token or a certificate told of it, over HTTP or gRPC:
its id stands in events and in the history of endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shipway.errors import ConfigError, NotAuthorised
from shipway.security.policy import Scope, allows

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Caller:
    """One who calls; ``id`` is unique and stays the same, ``name`` is for people to read.

    The id of a key is the key's; that of a token is ``jwt:<hash of issuer>:<subject>``, that of a
    certificate ``cert:<name>``. At ``expires_at`` it must be asked anew who this is.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    expires_at: datetime = FOREVER

    @property
    def label(self) -> str:
        """How the caller is called where people read: its name, if it has one, and its id.

        >>> Caller("cert:dns:a.example", "", ()).label
        'cert:dns:a.example'
        """
        return f"{self.name!r} ({self.id})" if self.name else self.id

    @property
    def names(self) -> frozenset[str]:
        """Everything that the caller is called by: to tell whether somebody else made a thing.

        >>> sorted(Caller("jwt:0123abcd:anna", "Anna", ()).names)
        ["'Anna' (jwt:0123abcd:anna)", 'Anna', 'anna', 'jwt:0123abcd:anna']
        """
        subject = self.id.split(":", 2)[2] if self.id.startswith("jwt:") else ""
        return frozenset({self.id, self.name, self.label, subject} - {""})


ANONYMOUS = Caller("anonymous", "", tuple(Scope))
"""Everybody, where authentication is off; such a server listens to its own machine alone."""


def authorise(caller: Caller, scope: Scope) -> None:
    """Nothing if *caller* may do what needs *scope*; else :class:`~shipway.errors.NotAuthorised`.

    >>> authorise(ANONYMOUS, Scope.PREDICT)
    """
    if allows(caller.scopes, scope):
        return
    held = f"the scope {', '.join(caller.scopes)}" if caller.scopes else "no scope"
    raise NotAuthorised(
        f"{caller.label} has {held} and this needs {scope}",
        next_step=f"call with a key that has it (`shipway keys create --scope {scope}`), or map a"
        " claim or a certificate to it under [auth]",
    )


def read_grants(lines: Iterable[str], *, setting: str) -> Mapping[str, tuple[Scope, ...]]:
    """What each name is granted, of lines that read ``name = scope scope``.

    Raises :class:`~shipway.errors.ConfigError`, naming *setting*, for a line that does not.

    >>> dict(read_grants(["team a = predict view"], setting="auth.scopes"))["team a"]
    (<Scope.PREDICT: 'predict'>, <Scope.VIEW: 'view'>)
    """
    grants: dict[str, tuple[Scope, ...]] = {}
    for line in lines:
        name, _, granted = (part.strip() for part in line.rpartition("="))
        known = {scope.value: scope for scope in Scope}
        words = granted.split()
        if not name or not words or any(word not in known for word in words) or name in grants:
            raise ConfigError(
                f"{setting} has {line!r}",
                next_step="write each name once, as in `name = predict view`, with scopes of"
                f" {', '.join(known)}",
            )
        grants[name] = tuple(known[word] for word in words)
    return grants
