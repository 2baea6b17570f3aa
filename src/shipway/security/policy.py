"""Who may do what, as data: each action needs one scope, and a scope may include others.

A scope is one right, or a role, which is several. Nobody has any by himself. ``serving`` asks
:func:`scope_for` at every route, so a route without a line here does not work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class Scope(StrEnum):
    """What a key, a claim or a certificate carries: the rights first, then the roles."""

    PREDICT = "predict"
    LABEL = "label"
    VIEW = "view"
    PUBLISH = "publish"
    APPROVE = "approve"
    VIEWER = "viewer"
    PREDICTOR = "predictor"
    AUTHOR = "author"
    APPROVER = "approver"
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
    FORCE = "endpoints.force"
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
        Action.PUBLISH: Scope.PUBLISH,
        Action.PROMOTE: Scope.APPROVE,
        Action.ROLL_BACK: Scope.APPROVE,
        Action.FORCE: Scope.ADMIN,
        Action.READ_KEYS: Scope.ADMIN,
        Action.CHANGE_KEYS: Scope.ADMIN,
    }
)

ROLES: Mapping[Scope, frozenset[Scope]] = MappingProxyType(
    {
        Scope.VIEWER: frozenset({Scope.VIEW}),
        Scope.PREDICTOR: frozenset({Scope.PREDICT}),
        Scope.AUTHOR: frozenset({Scope.VIEW, Scope.LABEL, Scope.PUBLISH}),
        Scope.APPROVER: frozenset({Scope.VIEW, Scope.APPROVE}),
        Scope.ADMIN: frozenset(Scope),
    }
)
"""What each role may; an author may not approve, an approver not publish, and only admin all."""

INCLUDES: Mapping[Scope, frozenset[Scope]] = MappingProxyType(
    {scope: frozenset({scope}) | ROLES.get(scope, frozenset()) for scope in Scope}
)


def scope_for(action: Action) -> Scope:
    """The scope that *action* needs."""
    return NEEDS[action]


def allows(held: Iterable[Scope], needed: Scope) -> bool:
    """Whether one of the scopes *held* is *needed* or includes it."""
    return any(needed in INCLUDES[scope] for scope in held)
