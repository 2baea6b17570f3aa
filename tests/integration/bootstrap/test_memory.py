"""What a server remembers of a store elsewhere: told while it is away, and no longer."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.databases import Postgres
from tests.stores import NOW, files, manifest

from shipway.bootstrap.keys import KeysAtHand
from shipway.bootstrap.memory import FILE, Memory, memory_of
from shipway.bootstrap.routing import open_routing
from shipway.errors import StoreUnavailable
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.opening import open_registry
from shipway.registry.registry import Registry
from shipway.security.keys import KeyRecord, issue
from shipway.serving.routing import RoutingState

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def addresses(postgres: Postgres) -> Addresses:
    """An empty database."""
    return Addresses(records=postgres.fresh())


@pytest.fixture
def registry(tmp_path: Path, addresses: Addresses) -> Iterator[Registry]:
    """The registry there, with a version live and one key."""
    with open_registry(tmp_path, addresses) as opened:
        contents = files("a")
        opened.publish(manifest(contents), contents, by="anna", now=NOW)
        promote(opened, 0)
        opened.add_key(key())
        yield opened


def key() -> KeyRecord:
    return issue(scopes=["view"], now=NOW, random=secrets.token_bytes)[1]


def promote(registry: Registry, expected: int, *, live: int = 1) -> None:
    registry.move_endpoint(
        "flight-delay",
        model="flight-delay",
        expected=expected,
        live=live,
        action="promote",
        by="anna",
        reason="a test",
        evidence=None,
        now=NOW,
    )


def remember(home: Path, addresses: Addresses) -> RoutingState:
    """What a worker is told that starts now, and keeps."""
    with closing(open_routing(home, None, addresses=addresses)) as routing:
        return routing.state()


@contextmanager
def away(postgres: Postgres) -> Iterator[None]:
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


def test_told_once_and_then_followed(
    tmp_path: Path, postgres: Postgres, addresses: Addresses, registry: Registry
) -> None:
    """Who starts while the store is away is told once what it said last; then it is asked."""
    remember(tmp_path, addresses)
    routing = open_routing(tmp_path, None, addresses=addresses)
    with away(postgres):
        told, state = routing.revision(), routing.state()
        assert state.revision == told
        assert [(one.endpoint, one.live) for one in state.endpoints] == [("flight-delay", 1)]
        assert state.keys == registry_keys(tmp_path, addresses)
        for ask in (routing.revision, routing.state):
            with pytest.raises(StoreUnavailable):
                ask()
    assert routing.revision() != told
    assert routing.state().endpoints == state.endpoints
    routing.close()


def registry_keys(home: Path, addresses: Addresses) -> tuple[KeyRecord, ...]:
    """The keys that are remembered."""
    known = Memory(home, addresses).read()
    assert known is not None
    return known.keys


def test_nothing_is_told_of_another_store(
    tmp_path: Path, postgres: Postgres, addresses: Addresses, registry: Registry
) -> None:
    """What one database said is never told of another, nor what is torn, nor what never was."""
    memory = Memory(tmp_path, addresses)
    assert memory.read() is None
    remember(tmp_path, addresses)
    assert memory.read() is not None
    assert Memory(tmp_path, Addresses(records=postgres.fresh())).read() is None
    content = (tmp_path / FILE).read_bytes()
    assert postgres.password.encode() not in content
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    (tmp_path / FILE).write_bytes(content[:-1])
    assert memory.read() is None
    with away(postgres), pytest.raises(StoreUnavailable):
        remember(tmp_path, addresses)
    assert registry.models()


def test_a_store_in_its_folder_needs_no_memory(tmp_path: Path) -> None:
    """It is there whenever its folder is."""
    assert memory_of(tmp_path, IN_FOLDER) is None


def test_a_memory_that_cannot_be_written(
    tmp_path: Path, addresses: Addresses, registry: Registry
) -> None:
    """Serving goes on where it cannot be kept."""
    (tmp_path / FILE).mkdir()
    assert remember(tmp_path, addresses).endpoints == registry.endpoints()


def test_keys_at_hand(
    tmp_path: Path, postgres: Postgres, addresses: Addresses, registry: Registry
) -> None:
    """While the store is away its last keys count, without asking each time; then its own again."""
    now = [0.0]
    memory = Memory(tmp_path, addresses)
    mounted = key()
    keys = KeysAtHand(registry, [mounted], memory, clock=lambda: now[0])
    (known,) = registry.keys()
    with away(postgres), pytest.raises(StoreUnavailable):
        keys()
    remember(tmp_path, addresses)
    with away(postgres):
        assert keys() == (known, mounted)
    revoked = registry.revoke_key(known.id, now=NOW)
    assert keys() == (known, mounted)
    now[0] = 2.5
    assert keys() == (revoked, mounted)
