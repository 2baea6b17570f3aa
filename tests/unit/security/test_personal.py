"""What is written of people: hashes that cannot be tried out, values that only a key gives back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.identities import Reader, keyring

from shipway.domain.text import text_of
from shipway.errors import ConfigError, KeyNotHeld, SealBroken, UsageError
from shipway.security.personal import HASHED, SEALED, PersonalKey, PersonalKeys
from shipway.security.sealing import Keyring

ANNA, BEN = Reader(), Reader()
KEY = PersonalKey(b"k" * 32)
VALUES = st.one_of(
    st.text(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
)


def key_file(home: Path) -> Path:
    return home / "personal" / "key.json"


@given(value=VALUES, column=st.text())
def test_an_encrypted_value_comes_back(value: str | float, column: str) -> None:
    """Whatever it is, with its type; twice encrypted it looks different."""
    sealed = KEY.sealed(column, value)
    assert sealed.startswith(SEALED)
    assert sealed != KEY.sealed(column, value)
    opened = KEY.opened(column, sealed)
    assert (opened, type(opened)) == (value, type(value))


@given(one=VALUES, other=VALUES)
def test_hashes_are_equal_where_values_are(one: str | float, other: str | float) -> None:
    """Values of a column have one hash if they read the same; another key or column has others."""
    same = text_of(one) == text_of(other)
    assert (KEY.hashed("x", one) == KEY.hashed("x", other)) is same
    assert KEY.hashed("x", one) == KEY.hashed("x", one)
    assert KEY.hashed("x", one) != KEY.hashed("y", one)
    assert KEY.hashed("x", one) != PersonalKey(b"l" * 32).hashed("x", one)
    assert KEY.hashed("x", one).startswith(HASHED)


def test_a_whole_number_is_itself_as_a_float() -> None:
    """A number has one hash, however it was sent."""
    assert KEY.hashed("x", 3) == KEY.hashed("x", 3.0)
    assert KEY.hashed("x", 3) != KEY.hashed("x", 3.5)


@pytest.mark.parametrize("wrong", ["", "anna", "sealed:", "sealed:!!", "hmac-sha256:00"])
def test_what_is_no_encrypted_value(wrong: str) -> None:
    """It is told as such, or as one that was not encrypted here."""
    with pytest.raises((UsageError, SealBroken)):
        KEY.opened("email", wrong)


def test_an_encrypted_value_is_bound() -> None:
    """To its column, to its key, and to every bit of it."""
    sealed = KEY.sealed("email", "anna")
    altered = sealed[:-5] + ("A" if sealed[-5] != "A" else "B") + sealed[-4:]
    for key, column, given_ in (
        (KEY, "name", sealed),
        (PersonalKey(b"l" * 32), "email", sealed),
        (KEY, "email", altered),
    ):
        with pytest.raises(SealBroken, match="not encrypted here"):
            key.opened(column, given_)


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """Whoever asks first makes it, for its user alone; nothing of it is shown."""
    found: list[str] = []

    def ask() -> None:
        found.append(PersonalKeys(tmp_path, Keyring()).key().hashed("x", "anna"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert key_file(tmp_path).stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "personal").iterdir()] == ["key.json"]
    assert "_secret" not in repr(PersonalKeys(tmp_path, Keyring()).key())


def test_a_key_that_encrypts_is_wrapped(tmp_path: Path) -> None:
    """Without recipients nothing can be encrypted; with them only who holds an identity can."""
    plain = PersonalKeys(tmp_path, Keyring())
    before = plain.key().hashed("x", "anna")
    with pytest.raises(ConfigError, match="nobody is named for whom"):
        plain.key(encrypts=True)
    wrapped = PersonalKeys(tmp_path, keyring(ANNA)).key(encrypts=True)
    assert wrapped.hashed("x", "anna") == before
    assert '"plain":""' in key_file(tmp_path).read_text()
    for ring in (Keyring(), keyring(BEN)):
        with pytest.raises(KeyNotHeld):
            PersonalKeys(tmp_path, ring).key()


def test_the_key_is_wrapped_anew(tmp_path: Path) -> None:
    """A rotation hands it on: the same key, for others."""
    assert not PersonalKeys(tmp_path, keyring(ANNA)).rewrap()
    before = PersonalKeys(tmp_path, keyring(ANNA)).key().hashed("x", "anna")
    both = PersonalKeys(tmp_path, keyring(ANNA, BEN, to=(BEN,)))
    assert both.rewrap(dry_run=True)
    assert both.rewrap()
    assert not both.rewrap()
    assert PersonalKeys(tmp_path, keyring(BEN)).key().hashed("x", "anna") == before
    with pytest.raises(KeyNotHeld):
        PersonalKeys(tmp_path, keyring(ANNA)).key()


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    """A key file that cannot be read is told of; a new key would be another one."""
    PersonalKeys(tmp_path, Keyring()).key()
    key_file(tmp_path).write_text("{")
    with pytest.raises(SealBroken, match="damaged"):
        PersonalKeys(tmp_path, Keyring()).key()
    assert key_file(tmp_path).read_text() == "{"
