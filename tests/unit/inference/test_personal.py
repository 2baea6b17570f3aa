"""Personal columns are replaced wherever rows leave memory, and in no other column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.identities import Reader, keyring

from shipway.contract.schema import Column, Contract, Personal, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import ConfigError
from shipway.inference.personal import Protection, protection_of
from shipway.security.personal import PersonalKeys
from shipway.security.sealing import Keyring

ANNA = Reader()
RING = keyring(ANNA)


def contract(**marks: Personal | None) -> Contract:
    """A contract whose features are named and marked by *marks*."""
    columns = tuple(
        Column(name=name, kind=Kind.NUMBER, role=Role.FEATURE, personal=how)
        for name, how in marks.items()
    )
    return Contract(model="m", task=Task.BINARY, columns=columns)


@pytest.fixture
def protection(tmp_path: Path) -> Protection:
    """What protects one column of each kind."""
    made = protection_of(
        contract(a=None, b=Personal.DROP, c=Personal.HASH, d=Personal.ENCRYPT),
        PersonalKeys(tmp_path, RING),
    )
    assert made is not None
    return made


def test_columns_of_an_event(protection: Protection, tmp_path: Path) -> None:
    """Each value as its mark says, missing ones missing; other columns are the same object."""
    plain: list[str | int | float | None] = [1.5, None, 2.0]
    found = protection.received({"a": plain, "b": plain, "c": plain, "d": plain}, (), b"")
    assert found["a"] is plain
    assert found["b"] == [None, None, None]
    assert found["c"][1] is None
    key = PersonalKeys(tmp_path, RING).key()
    assert found["c"][2] == key.hashed("c", 2)
    assert [key.opened("d", str(one)) for one in found["d"] if one is not None] == [1.5, 2.0]


def test_a_matrix_becomes_columns(protection: Protection) -> None:
    """A request of numbers alone is kept column by column, with the same replacements."""
    matrix = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, np.nan, 8.0]])
    found = protection.received({}, ("a", "b", "c", "d"), matrix.tobytes())
    assert found["a"] == [1.0, 5.0]
    assert found["b"] == [None, None]
    assert found["c"][1] is None
    assert str(found["c"][0]).startswith("hmac-sha256:")
    assert str(found["d"][0]).startswith("sealed:")


def test_without_marks_nothing_is_made(tmp_path: Path) -> None:
    """A contract without personal columns costs nothing, and a dropped column needs no key."""
    keys = PersonalKeys(tmp_path, Keyring())
    assert protection_of(contract(a=None), keys) is None
    assert protection_of(contract(a=Personal.DROP), keys) is not None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="nobody is named for whom"):
        protection_of(contract(a=Personal.ENCRYPT), keys)
