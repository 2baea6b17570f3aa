"""Who may do what, as data: each action needs one scope, and a scope may include others.

``serving`` asks :func:`scope_for` at every route, so a route without a line here does not work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class Scope(StrEnum):
    """A right that a key carries."""

    PREDICT = "predict"
    LABEL = "label"
    VIEW = "view"
    ADMIN = "admin"


class Action(StrEnum):
    """Something that a caller asks for."""

    PREDICT = "predict"
    READ_METADATA = "metadata.read"
    ADD_LABELS = "labels.add"
    READ_METRICS = "metrics.read"
    READ_STATUS = "status.read"
    READ_VERSIONS = "versions.read"
    READ_REPORTS = "reports.read"
    PUBLISH = "versions.publish"
    PROMOTE = "endpoints.promote"
    ROLL_BACK = "endpoints.rollback"
    READ_KEYS = "keys.read"
    CHANGE_KEYS = "keys.change"


NEEDS: Mapping[Action, Scope] = MappingProxyType(
    {
        Action.PREDICT: Scope.PREDICT,
        Action.READ_METADATA: Scope.PREDICT,
        Action.ADD_LABELS: Scope.LABEL,
        Action.READ_METRICS: Scope.VIEW,
        Action.READ_STATUS: Scope.VIEW,
        Action.READ_VERSIONS: Scope.VIEW,
        Action.READ_REPORTS: Scope.VIEW,
        Action.PUBLISH: Scope.ADMIN,
        Action.PROMOTE: Scope.ADMIN,
        Action.ROLL_BACK: Scope.ADMIN,
        Action.READ_KEYS: Scope.ADMIN,
        Action.CHANGE_KEYS: Scope.ADMIN,
    }
)

INCLUDES: Mapping[Scope, frozenset[Scope]] = MappingProxyType(
    {
        Scope.PREDICT: frozenset({Scope.PREDICT}),
        Scope.LABEL: frozenset({Scope.LABEL}),
        Scope.VIEW: frozenset({Scope.VIEW}),
        Scope.ADMIN: frozenset(Scope),
    }
)


def scope_for(action: Action) -> Scope:
    """The scope that *action* needs."""
    return NEEDS[action]


def allows(held: Iterable[Scope], needed: Scope) -> bool:
    """Whether one of the scopes *held* is *needed* or includes it."""
    return any(needed in INCLUDES[scope] for scope in held)
