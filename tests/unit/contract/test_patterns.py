"""Patterns of text: one way to read them, in three languages, and in linear time."""

from __future__ import annotations

import re
import time

import jsonschema  # type: ignore[import-untyped]
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.contract.patterns import inferred, matcher, regex_of
from shipway.errors import UsageError

_CHARACTERS = "aZ09-_.^]\\[$/&~|#é\n 😀"
_ATOMS = st.one_of(
    st.sampled_from(_CHARACTERS).map(lambda one: one if one.isalnum() else f"\\{one}"),
    st.sampled_from(["[a-z]", "[A-Z0-9_]", r"[\-\]\\^]", "[&~|#]", "[é-😀]", r"[\.$ ]"]),
)
_PATTERNS = st.lists(
    st.tuples(_ATOMS, st.sampled_from(["", "", "?", "+", "*", "{2}", "{0,2}"])),
    min_size=1,
    max_size=4,
).map(lambda parts: "".join(atom + times for atom, times in parts))


@settings(max_examples=500, deadline=None)
@given(_PATTERNS, st.lists(st.text(_CHARACTERS, max_size=5), min_size=1, max_size=8))
def test_every_reader_agrees(pattern: str, texts: list[str]) -> None:
    """Python, polars and JSON Schema say the same of each text."""
    try:
        match = matcher(pattern)
    except UsageError:
        return
    python = [match.fullmatch(text) is not None for text in texts]
    polars = pl.Series(texts).str.contains(regex_of(pattern)).to_list()
    assert polars == python
    schema = jsonschema.Draft202012Validator({"pattern": regex_of(pattern)})
    # Python's $ lets a line end pass, which no other reader of JSON Schema does.
    assert [schema.is_valid(text) for text in texts if not text.endswith("\n")] == [
        keeps_it for text, keeps_it in zip(texts, python, strict=True) if not text.endswith("\n")
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        "", "a" * 201, "(a+)+", "a|b", ".", "[0-9", "[]", "[^a]", "[z-a]", "[a-]", "a{2,1}",
        "a{1001}", "a{,3}", "*", "a**", "\\d", "\\", "[a-z]*[a-z]", "a?b?a", "a*b?[a-c]", "^a$",
    ],
)  # fmt: skip
def test_what_is_read_in_two_ways_is_refused(pattern: str) -> None:
    """Groups, alternatives, what may stand for any character, and what needs guessing."""
    with pytest.raises(UsageError, match="no pattern that every reader"):
        regex_of(pattern)


def test_no_pattern_takes_long() -> None:
    """The worst that may be written reads a long text at once, kept or not."""
    match = matcher("[a-f]*[g-m]*[n-s]*[t-z]*[A-F]*[G-M]*[N-S]*[T-Z]*[0-4]*[5-9]*")
    text = "".join(letter * 20_000 for letter in "agntAGNT05")
    began = time.process_time()
    assert match.fullmatch(text) is not None
    assert match.fullmatch(text + "!") is None
    assert time.process_time() - began < 30  # backtracking would take longer than anybody lives


@given(st.lists(st.text("abAB01-. é", min_size=1, max_size=6), min_size=1, max_size=10))
def test_an_inferred_pattern_is_kept_by_what_it_was_inferred_from(texts: list[str]) -> None:
    """Whenever there is one."""
    pattern = inferred(texts)
    assert not pattern or all(re.fullmatch(matcher(pattern), text) for text in texts)
