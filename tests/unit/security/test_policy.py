"""The policy table has no holes."""

from __future__ import annotations

import pytest

from shipway.security.policy import INCLUDES, NEEDS, Action, Scope, allows, scope_for


def test_every_action_has_a_scope() -> None:
    """There is no action without a decision."""
    assert set(NEEDS) == set(Action)
    assert set(INCLUDES) == set(Scope)


@pytest.mark.parametrize("held", list(Scope))
@pytest.mark.parametrize("action", list(Action))
def test_matrix(held: Scope, action: Action) -> None:
    """One scope opens what it names, and admin alone opens all."""
    assert allows([held], scope_for(action)) == (held in {Scope.ADMIN, scope_for(action)})


def test_nothing_held() -> None:
    """Who holds no scope may do nothing."""
    assert not any(allows([], scope_for(action)) for action in Action)


def test_only_admin_changes_what_is_served() -> None:
    """Publishing, promoting, rolling back and keys need admin."""
    changing = {Action.PUBLISH, Action.PROMOTE, Action.ROLL_BACK, Action.CHANGE_KEYS}
    assert {scope_for(action) for action in changing} == {Scope.ADMIN}
