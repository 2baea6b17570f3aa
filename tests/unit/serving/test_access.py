"""Callers from what they show: remembered only while they are good, refused by default."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.serving_rig import make_key

from shipway.errors import (
    EnvironmentFailure,
    MalformedRequest,
    NotAuthenticated,
    NotAuthorised,
    RateLimited,
)
from shipway.security.callers import ANONYMOUS, Caller
from shipway.security.certificates import PeerCertificate, Principals
from shipway.security.keys import caller_of
from shipway.security.policy import Scope
from shipway.security.rates import Rate, Rates
from shipway.serving.access import Access, Admission, Credentials, key_in
from shipway.serving.routing import Routing


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


def plain(text: str) -> Credentials:
    """What a caller with a key shows."""
    return Credentials({b"x-api-key": text.encode()})


def bearer(text: str) -> Credentials:
    """The same in the other header."""
    return Credentials({b"authorization": f"Bearer {text}".encode()})


def test_remembered_until_it_expires() -> None:
    """A key that was good is refused from the moment that it expires, remembered or not."""
    text, record = make_key(days=1)
    clock = Clock()
    access = Access([record], Admission(clock=clock))
    for credentials in (plain(text), plain(text), bearer(text), bearer(text)):
        assert access.allow(credentials, Scope.PREDICT) == caller_of(record)
    clock.now += timedelta(days=1, seconds=1)
    for credentials in (plain(text), bearer(text)):
        with pytest.raises(NotAuthenticated, match="expired"):
            access.allow(credentials, Scope.PREDICT)


def test_scope_is_asked_each_time() -> None:
    """Having been let in for one thing lets nobody in for another."""
    text, record = make_key(Scope.PREDICT)
    access = Access([record])
    access.allow(plain(text), Scope.PREDICT)
    with pytest.raises(NotAuthorised):
        access.allow(plain(text), Scope.ADMIN)


def test_admin_may_everything() -> None:
    """A key with a scope that includes others is let in for each of them."""
    text, record = make_key(Scope.ADMIN)
    access = Access([record])
    assert {access.allow(bearer(text), scope).id for scope in Scope} == {record.id}


def test_guesses_are_not_kept() -> None:
    """Bad keys leave nothing behind, and good ones only a digest."""
    text, record = make_key()
    access = Access([record])
    for number in range(100):
        with pytest.raises(NotAuthenticated):
            access.allow(plain(f"{text}{number}"), Scope.PREDICT)
    with pytest.raises(NotAuthenticated):
        access.allow(Credentials({b"x-api-key": b"\xff\xfe"}), Scope.PREDICT)
    assert access._known == {}
    access.allow(plain(text), Scope.PREDICT)
    assert text.encode() not in str(access._known).encode()


def test_memory_is_bounded() -> None:
    """One good key, spelled in ever new ways, does not make the server remember without end."""
    text, record = make_key()
    access = Access([record])
    for spaces in range(1, 5000):
        access.allow(Credentials({b"authorization": b"Bearer" + b" " * spaces + text.encode()}),
                     Scope.PREDICT)  # fmt: skip
    assert len(access._known) <= 4096


def test_a_good_key_in_one_header_is_not_good_in_another_form() -> None:
    """What was remembered of one header lets nothing in that is sent in the other."""
    text, record = make_key()
    access = Access([record])
    access.allow(bearer(text), Scope.PREDICT)
    access.allow(plain(text), Scope.PREDICT)
    for wrong in (
        {b"x-api-key": f"Bearer {text}".encode()},
        {b"authorization": text.encode()},
        {b"authorization": f"Basic {text}".encode()},
    ):
        with pytest.raises(NotAuthenticated):
            access.allow(Credentials(wrong), Scope.PREDICT)
    both = {b"authorization": f"Bearer {text}".encode(), b"x-api-key": b"other"}
    with pytest.raises(MalformedRequest):
        access.allow(Credentials(both), Scope.PREDICT)


@pytest.mark.parametrize("scope", list(Scope))
def test_nobody_by_default(scope: Scope) -> None:
    """An access that was told of nobody lets nobody in."""
    with pytest.raises(NotAuthenticated, match="no key came"):
        Access().allow(Credentials({}), scope)


def test_keys_that_are_not_known_yet() -> None:
    """Until the keys are read, a key is neither good nor bad, and who has none is nobody."""
    for credentials in (plain(make_key()[0]), bearer(make_key()[0])):
        with pytest.raises(EnvironmentFailure, match="not loaded yet"):
            Access().allow(credentials, Scope.PREDICT)
        with pytest.raises(NotAuthenticated):
            Access(admission=Admission(keys=False)).allow(credentials, Scope.PREDICT)
    with pytest.raises(NotAuthenticated, match="no key came"):
        Routing().access.allow(Credentials({}), Scope.PREDICT)


def test_authentication_off() -> None:
    """Without authentication everybody is anonymous, whatever is sent."""
    access = Access((), Admission(authentication=False))
    assert access.allow(Credentials({}), Scope.ADMIN) is ANONYMOUS
    assert access.allow(plain("nonsense"), Scope.PREDICT) is ANONYMOUS


def test_keys_are_not_taken_where_they_are_off() -> None:
    """Where tokens or certificates alone count, a good key is none."""
    text, record = make_key()
    with pytest.raises(NotAuthenticated):
        Access([record], Admission(keys=False)).allow(plain(text), Scope.PREDICT)


CERTIFICATE = PeerCertificate(("dns:batch.example", "uri:spiffe://example/batch"))


def certified() -> Admission:
    """Who takes one certificate."""
    return Admission(principals=Principals({"uri:spiffe://example/batch": (Scope.PREDICT,)}))


def test_certificate() -> None:
    """A certificate is a caller of its own, with the rights that the settings give it."""
    access = Access((), certified())
    caller = access.allow(Credentials({}, CERTIFICATE), Scope.PREDICT)
    assert caller == Caller("cert:uri:spiffe://example/batch", "", (Scope.PREDICT,))
    with pytest.raises(NotAuthorised):
        access.allow(Credentials({}, CERTIFICATE), Scope.LABEL)
    with pytest.raises(NotAuthenticated):
        access.allow(Credentials({}, PeerCertificate(("dns:other.example",))), Scope.PREDICT)
    with pytest.raises(NotAuthenticated, match="no key came"):
        Access().allow(Credentials({}, CERTIFICATE), Scope.PREDICT)


def test_a_bad_key_is_not_saved_by_a_certificate() -> None:
    """Who sends a key is judged by the key, even over a connection with a good certificate."""
    text, record = make_key()
    access = Access([record], certified())
    sent = {b"x-api-key": text.encode()}
    assert access.allow(Credentials(sent, CERTIFICATE), Scope.PREDICT).id == record.id
    with pytest.raises(NotAuthenticated):
        access.allow(Credentials({b"x-api-key": b"bad"}, CERTIFICATE), Scope.PREDICT)
    with pytest.raises(NotAuthenticated):
        access.allow(Credentials({b"authorization": b""}, CERTIFICATE), Scope.PREDICT)


def test_rates(tmp_path: Path) -> None:
    """A caller over its rate is refused, another one is not; rows are counted apart."""
    (first, one), (second, other) = (make_key(salt=salt) for salt in (0, 1))
    requests = Rates(tmp_path / "a", Rate(1, 2), of="requests", setting="x", clock=lambda: 5.0)
    rows = Rates(tmp_path / "b", Rate(1, 10), of="rows", setting="y", clock=lambda: 5.0)
    access = Access([one, other], Admission(requests=requests, rows=rows))
    for _ in range(2):
        access.allow(plain(first), Scope.PREDICT)
    with pytest.raises(RateLimited, match="1 requests a second, 2 at once") as caught:
        access.allow(plain(first), Scope.PREDICT)
    assert caught.value.retry_after_s == 1
    access.allow(plain(second), Scope.PREDICT)
    access.charge(one.id, 10)
    with pytest.raises(RateLimited, match="rows"):
        access.charge(one.id, 5)
    Access().charge(one.id, 10**9)
    requests.close()
    rows.close()


def test_who_may_not_is_not_counted(tmp_path: Path) -> None:
    """A refused request takes nothing from the rate of the caller whose key it was."""
    text, record = make_key(Scope.LABEL)
    requests = Rates(tmp_path / "a", Rate(1, 1), of="requests", setting="x", clock=lambda: 5.0)
    access = Access([record], Admission(requests=requests))
    for _ in range(3):
        with pytest.raises(NotAuthorised):
            access.allow(plain(text), Scope.PREDICT)
    access.allow(plain(text), Scope.LABEL)
    requests.close()


def test_many_threads() -> None:
    """Several threads may ask at once, as gRPC's do, and each gets its own caller."""
    made = [make_key(salt=salt) for salt in range(8)]
    access = Access([record for _, record in made])
    wrong: list[str] = []

    def ask(text: str, expected: str) -> None:
        for _ in range(500):
            caller = access.allow(plain(text), Scope.PREDICT)
            if caller.id != expected:
                wrong.append(caller.id)

    threads = [threading.Thread(target=ask, args=(text, one.id)) for text, one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
