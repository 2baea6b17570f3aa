"""What the history of an endpoint says about going back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.registry.history import live_before
from shipway.registry.records import EndpointChange


def story(text: str) -> list[EndpointChange]:
    """``"1 2 <1"``: promote 1, promote 2, roll back to 1."""
    changes: list[EndpointChange] = []
    for index, step in enumerate(text.split()):
        changes.append(
            EndpointChange(
                endpoint="production",
                model="flight-delay",
                sequence=index + 1,
                action="rollback" if step.startswith("<") else "promote",
                before=changes[-1].live if changes else None,
                live=int(step.removeprefix("<")),
                at=datetime(2026, 1, 1, tzinfo=UTC),
                by="anna",
                reason="",
                evidence=None,
            )
        )
    return changes


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", None),
        ("1", None),
        ("1 2", 1),
        ("1 2 3", 2),
        ("1 2 <1", None),
        ("1 2 <1 3", 1),
        ("1 2 3 <2", 1),
        ("1 2 3 <2 <1", None),
        ("1 2 3 <1", None),
        ("1 2 1", 2),
        ("1 2 <1 2", 1),
        ("1 2 3 <2 4 5 <4", 2),
        ("1 2 <7", 1),
        ("<4", None),
    ],
)
def test_target(text: str, target: int | None) -> None:
    """The version to go back to was live before, and was not rolled back from since."""
    assert live_before(story(text)) == target


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_rolling_back_ends(lives: list[int]) -> None:
    """However a history went, rolling back again and again comes to an end at the first."""
    steps = [str(live) for live in lives]
    for _ in range(len(lives)):
        target = live_before(story(" ".join(steps)))
        if target is None:
            break
        assert target in lives
        steps.append(f"<{target}")
    assert live_before(story(" ".join(steps))) is None
