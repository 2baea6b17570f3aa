"""Ids are fresh, sort by time, and are those of the standard."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from shipway.domain.names import Ids, new_id


@pytest.mark.parametrize("make", [new_id, Ids().new], ids=["one", "many"])
def test_ids(make: Callable[[], str]) -> None:
    """No id comes twice, each is a UUID of version 7, and later ones do not sort before."""
    made = [make() for _ in range(2_000)]
    assert len(set(made)) == len(made)
    read = [uuid.UUID(one) for one in made]
    assert {one.version for one in read} == {7}
    assert {one.variant for one in read} == {uuid.RFC_4122}
    assert [one[:12] for one in made] == sorted(one[:12] for one in made)
    assert all(one == one.lower() and len(one) == 32 for one in made)


def test_ids_differ_between_sources() -> None:
    """Two sources made at one moment share nothing but the time."""
    first, second = Ids(), Ids()
    assert not {first.new()[12:] for _ in range(500)} & {second.new()[12:] for _ in range(500)}
