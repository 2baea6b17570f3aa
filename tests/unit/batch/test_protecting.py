"""Tables with personal columns replaced."""

from __future__ import annotations

import polars as pl

from shipway.batch.protecting import protected, protected_dtype
from shipway.inference.personal import Protection
from shipway.security.personal import PersonalKey

KEY = PersonalKey(b"k" * 32)
PROTECTION = Protection({"b": None, "c": lambda value: KEY.hashed("c", value)})


def test_a_table_keeps_its_other_columns() -> None:
    """Only what is personal is replaced, missing values stay missing, and the types are as told."""
    frame = pl.DataFrame({"a": [1, 2], "b": [3, 4], "c": ["x", None]})
    found = protected(frame, PROTECTION)
    assert found.columns == frame.columns
    assert found["a"].to_list() == [1, 2]
    assert found["b"].to_list() == [None, None]
    assert found["c"].to_list() == [KEY.hashed("c", "x"), None]
    for name, dtype in frame.schema.items():
        assert found.schema[name] == protected_dtype(name, dtype, PROTECTION)


def test_without_protection_it_is_the_same() -> None:
    """Nothing is copied where nothing is personal."""
    frame = pl.DataFrame({"a": [1, 2]})
    assert protected(frame, None) is frame
    assert protected_dtype("a", pl.Int64(), None) == pl.Int64()
