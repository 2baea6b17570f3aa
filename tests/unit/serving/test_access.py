"""Keys from headers, remembered only while they are good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.serving_rig import make_key

from shipway.errors import MalformedRequest, NotAuthenticated, NotAuthorised
from shipway.security.policy import Scope
from shipway.serving.access import Access, key_in


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, b""),
        ({b"authorization": b"Bearer k"}, b"k"),
        ({b"authorization": b"bearer  k "}, b"k"),
        ({b"x-api-key": b" k "}, b"k"),
        ({b"authorization": b"Bearer k", b"x-api-key": b"k"}, b"k"),
    ],
)
def test_key_in(headers: dict[bytes, bytes], key: bytes) -> None:
    """A key may come as a bearer token or in X-API-Key, and in both if they agree."""
    assert key_in(headers) == key


def test_no_key_in() -> None:
    """Two different keys, or another scheme, are refused."""
    with pytest.raises(MalformedRequest):
        key_in({b"authorization": b"Bearer k", b"x-api-key": b"l"})
    with pytest.raises(NotAuthenticated, match="Bearer"):
        key_in({b"authorization": b"Basic k"})


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def test_remembered_until_it_expires() -> None:
    """A key that was good is refused from the moment that it expires, remembered or not."""
    text, record = make_key(days=1)
    clock = Clock()
    access = Access([record], clock)
    headers = {b"x-api-key": text.encode()}
    assert access.allow(headers, Scope.PREDICT) == record
    assert access.allow(headers, Scope.PREDICT) == record
    clock.now += timedelta(days=1, seconds=1)
    with pytest.raises(NotAuthenticated, match="expired"):
        access.allow(headers, Scope.PREDICT)


def test_scope_is_remembered_apart() -> None:
    """Having been let in for one thing lets nobody in for another."""
    text, record = make_key(Scope.PREDICT)
    access = Access([record], Clock())
    headers = {b"x-api-key": text.encode()}
    access.allow(headers, Scope.PREDICT)
    with pytest.raises(NotAuthorised):
        access.allow(headers, Scope.ADMIN)


def test_guesses_are_not_kept() -> None:
    """Bad keys leave nothing behind, and good ones only a digest."""
    text, record = make_key()
    access = Access([record], Clock())
    for number in range(100):
        with pytest.raises(NotAuthenticated):
            access.allow({b"x-api-key": f"{text}{number}".encode()}, Scope.PREDICT)
    with pytest.raises(NotAuthenticated):
        access.allow({b"x-api-key": b"\xff\xfe"}, Scope.PREDICT)
    assert access._good == {}
    access.allow({b"x-api-key": text.encode()}, Scope.PREDICT)
    assert text.encode() not in str(access._good).encode()
