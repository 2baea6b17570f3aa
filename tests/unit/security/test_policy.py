"""The policy table has no holes."""

from __future__ import annotations

import pytest

from shipway.config.auth import SCOPES
from shipway.security.policy import INCLUDES, NEEDS, ROLES, Action, Scope, allows, scope_for

LOOKING = {
    Action.READ_METRICS,
    Action.READ_STATUS,
    Action.READ_VERSIONS,
    Action.READ_REPORTS,
}
MAY = {
    Scope.VIEWER: LOOKING,
    Scope.PREDICTOR: {Action.PREDICT, Action.READ_METADATA},
    Scope.AUTHOR: LOOKING | {Action.ADD_LABELS, Action.PUBLISH},
    Scope.APPROVER: LOOKING | {Action.PROMOTE, Action.ROLL_BACK},
    Scope.ADMIN: set(Action),
}


def test_every_action_has_a_scope() -> None:
    """There is no action without a decision."""
    assert set(NEEDS) == set(Action)
    assert set(INCLUDES) == set(Scope)
    assert set(SCOPES) == set(Scope)


@pytest.mark.parametrize("role", list(MAY))
@pytest.mark.parametrize("action", list(Action))
def test_roles(role: Scope, action: Action) -> None:
    """Each of the five roles may do what is its own, and nothing else."""
    assert set(ROLES) == set(MAY)
    assert allows([role], scope_for(action)) == (action in MAY[role])


@pytest.mark.parametrize("held", sorted(set(Scope) - set(ROLES)))
@pytest.mark.parametrize("action", list(Action))
def test_rights(held: Scope, action: Action) -> None:
    """One right opens what it names, and nothing else."""
    assert allows([held], scope_for(action)) == (held is scope_for(action))


def test_nothing_held() -> None:
    """Who holds no scope may do nothing."""
    assert not any(allows([], scope_for(action)) for action in Action)


def test_nobody_but_admin_both_makes_and_approves() -> None:
    """Only an admin holds the right to publish and the right to approve in one role."""
    both = {Scope.PUBLISH, Scope.APPROVE}
    assert [role for role, rights in ROLES.items() if both <= rights] == [Scope.ADMIN]
    assert scope_for(Action.FORCE) is Scope.ADMIN
