"""The contract as a file: what goes in comes out, and every mistake has its line."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.contract import odcs
from shipway.contract.nodes import MAX_BYTES, MAX_DEPTH
from shipway.contract.schema import (
    Bins,
    CategoricalBins,
    Column,
    Contract,
    NumericBins,
    Policy,
    Role,
)
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import ContractError

_TEXT = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["no", "1", "1.0", "null", "~", "2013-04-01", "a: b", "- x", "#", "é\u2028😀"]),
)
_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_COUNTS = st.integers(0, 2**40)
_EXAMPLES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.NUMBER: st.one_of(_FINITE, st.integers(-(2**70), 2**70)),
    Kind.INTEGER: st.integers(-(2**63), 2**63),
    Kind.BOOLEAN: st.booleans(),
    Kind.STRING: _TEXT,
    Kind.DATE: st.dates().map(dt.date.isoformat),
    Kind.TIMESTAMP: st.datetimes().map(dt.datetime.isoformat),
}


@st.composite
def _bins(draw: st.DrawFn) -> Bins:
    if draw(st.booleans()):
        edges = tuple(sorted(draw(st.lists(_FINITE, min_size=1, max_size=4, unique=True))))
        n = len(edges) + 1
        counts = tuple(draw(st.lists(_COUNTS, min_size=n, max_size=n)))
        return NumericBins(edges=edges, counts=counts, missing=draw(_COUNTS))
    names = tuple(draw(st.lists(_TEXT, max_size=4, unique=True)))
    counts = tuple(draw(st.lists(_COUNTS, min_size=len(names), max_size=len(names))))
    return CategoricalBins(
        categories=names, counts=counts, other=draw(_COUNTS), missing=draw(_COUNTS)
    )


@st.composite
def _column(draw: st.DrawFn, name: str, role: Role) -> Column:
    kind = draw(st.sampled_from(list(Kind)))
    ranged = kind in (Kind.NUMBER, Kind.INTEGER)
    low, high = sorted(draw(st.tuples(_FINITE, _FINITE)))
    named = kind in (Kind.STRING, Kind.INTEGER, Kind.BOOLEAN)
    categories = st.lists(_TEXT, max_size=4, unique=True).map(tuple)
    return Column(
        name=name,
        kind=kind,
        role=role,
        nullable=draw(st.booleans()),
        null_rate=draw(st.floats(0, 1)),
        minimum=draw(st.sampled_from([low, None])) if ranged else None,
        maximum=draw(st.sampled_from([high, None])) if ranged else None,
        missing=draw(st.sampled_from([Policy.REJECT, Policy.QUARANTINE])),
        out_of_range=draw(st.sampled_from([Policy.WARN, Policy.REJECT, Policy.QUARANTINE])),
        categories=draw(st.one_of(st.none(), categories)) if named else None,
        unseen=draw(st.sampled_from([Policy.WARN, Policy.REJECT, Policy.QUARANTINE])),
        pattern=draw(st.sampled_from(["", "[A-Z]+", " ?x{2,3}"])) if kind is Kind.STRING else "",
        mismatched=draw(st.sampled_from([Policy.WARN, Policy.REJECT])),
        unique=draw(st.booleans()),
        bins=draw(st.one_of(st.none(), _bins())),
        example=draw(st.one_of(st.none(), _EXAMPLES[kind])),
        description=draw(_TEXT),
    )


@st.composite
def _contracts(draw: st.DrawFn) -> Contract:
    names = draw(st.lists(_TEXT, min_size=1, max_size=4, unique=True))
    roles = [Role.FEATURE, *draw(st.permutations([r for r in Role if r is not Role.FEATURE]))]
    columns = [draw(_column(name, role)) for name, role in zip(names, roles, strict=False)]
    return Contract(
        model=draw(_TEXT.filter(bool)),
        task=draw(st.sampled_from(list(Task))),
        columns=tuple(columns),
        rows=draw(_COUNTS),
        description=draw(_TEXT),
        range_slack=draw(st.floats(0, 1)),
        notes=tuple(draw(st.lists(_TEXT, max_size=2))),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_contracts())
def test_a_contract_survives_the_file(contract: Contract) -> None:
    """Writing and reading are exact inverses, whatever the names and numbers are."""
    text = odcs.dump(contract)
    assert odcs.load(text) == contract
    assert odcs.load(text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")) == (
        contract
    )


_SMALL = Contract(
    model="flights",
    task=Task.BINARY,
    rows=9,
    columns=(
        Column(name="dest", kind=Kind.STRING, categories=("NO", "JFK"), example="NO"),
        Column(name="temp", kind=Kind.NUMBER, nullable=True, minimum=-1.5, maximum=40.0),
        Column(name="late", kind=Kind.INTEGER, role=Role.TARGET, categories=("0", "1")),
    ),
)


def test_the_file_has_the_shape_that_the_standard_asks_for() -> None:
    """The required fields of ODCS 3.1, its logical types, and nothing unknown to it."""
    document = yaml.safe_load(odcs.dump(_SMALL))
    assert document["apiVersion"] == "v3.1.0"
    assert document["kind"] == "DataContract"
    assert {"id", "version", "status"} <= set(document)
    (table,) = document["schema"]
    dest, temp, late = table["properties"]
    assert (dest["logicalType"], dest["required"]) == ("string", True)
    assert dest["quality"][0]["arguments"] == {"validValues": ["NO", "JFK"]}
    assert dest["quality"][0]["mustBe"] == 0
    assert temp["logicalTypeOptions"] == {"minimum": -1.5, "maximum": 40}
    assert not temp["required"]
    assert {"property": "role", "value": "target"} in late["customProperties"]


def _problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(ContractError) as caught:
        odcs.load(text, source="contract.yaml")
    assert caught.value.problems
    return [(int(p.where.split(":")[1]), str(p)) for p in caught.value.problems]


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    """Each line is named, and the word that was meant."""
    text = """apiVersion: v3.1.0
kind: DataContracts
id: m
version: 1.0.0
stat: active
status: active
customProperties:
- {property: task, value: binary-clasification}
- {property: rows, value: -1}
schema:
- name: m
  properties:
  - name: a
    logicalType: numbr
    customProperties:
    - {property: role, value: feature}
    - {property: null_rate, value: 0.5}
  - name: a
    logicalType: number
    required: maybe
    logicalTypeOptions: {minimum: 5, maximum: 1, multipleOf: 2}
    customProperties:
    - {property: outOfRange, value: warn}
    - property: bins
      value: {type: numeric, edges: [2, 1], counts: [1], missing: 0}
"""
    problems = _problems(text)
    assert [line for line, _ in problems] == sorted(line for line, _ in problems)
    told = " ".join(text for _, text in problems)
    expected = {
        2: "did you mean 'DataContract'?",
        5: "did you mean 'status'?",
        8: "did you mean 'binary-classification'?",
        9: "0 or more",
        14: "did you mean 'number'?",
        17: "did you mean 'nullRate'?",
        18: "stands twice",
        20: "true or false",
        21: "greater than its 'maximum'",
        23: "has no 'role'",
        25: "must rise",
    }
    for line, words in expected.items():
        assert any(at == line and words in message for at, message in problems), (line, words)
    assert "'multipleOf'" in told
    assert "one count more than edges" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("a: [1", "not YAML"),
        ("\0", "not YAML"),
        ("just text", "must be a mapping"),
        ("a: &x [1]\nb: *x", "anchors"),
        ("a: 1\n---\nb: 2", "second document"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deeper"),
        ("[" * 5000, "deeper"),
        ("a: 1\na: 2", "stands twice"),
        ("!!python/object/apply:os.system ['true']", "must be a mapping"),
        ("apiVersion: v2.2.2", "cannot be 'v2.2.2'"),
    ],
)
def test_what_is_no_contract_is_refused_in_words(text: str, words: str) -> None:
    """Empty, cut off, hostile or foreign: never a traceback, never code run."""
    assert any(words in message for _, message in _problems(text))


def test_a_huge_file_is_refused_unread() -> None:
    """The bound comes before the parser."""
    assert "larger than 8 MiB" in _problems("a" * (MAX_BYTES + 1))[0][1]


def test_plain_words_that_yaml_misreads_stay_words() -> None:
    """Norway's ``NO`` and a column called ``on`` are text even without quotes."""
    text = odcs.dump(_SMALL).replace("'NO'", "NO").replace("name: dest", "name: on")
    loaded = odcs.load(text)
    assert loaded.columns[0].name == "on"
    assert loaded.columns[0].categories == ("NO", "JFK")
    assert loaded.columns[0].example == "NO"


def test_properties_of_other_tools_are_passed_by() -> None:
    """A contract may say more than Shipway reads."""
    text = odcs.dump(_SMALL) + "tags: [aviation]\nservers: []\n"
    text = text.replace(
        "- property: role\n", "- property: owner\n      value: x\n    - property: role\n", 1
    )
    assert odcs.load(text) == _SMALL


def test_roles_that_can_be_had_once_are_not_had_twice() -> None:
    """Two targets, or no feature, are told."""
    twice = Contract(
        model="m",
        task=Task.BINARY,
        columns=tuple(Column(name=n, kind=Kind.NUMBER, role=Role.TARGET) for n in ("a", "b")),
    )
    told = " ".join(message for _, message in _problems(odcs.dump(twice)))
    assert "only one column can be the target: a, b" in told
    assert "no column has the role 'feature'" in told
