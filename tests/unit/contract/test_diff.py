"""What changes between contracts, and whom it breaks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from tests.unit.contract.test_agreement import _as_a_file_may_say, _column, _rows

from shipway.contract.compiled import CompiledContract
from shipway.contract.diff import Breaks, compare, refuses_more
from shipway.contract.schema import Column, Contract, Policy, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind

_COLUMNS = (
    Column(name="wind", kind=Kind.NUMBER, minimum=0.0, maximum=40.0, out_of_range=Policy.REJECT),
    Column(name="carrier", kind=Kind.STRING, categories=("UA", "AA"), unseen=Policy.REJECT),
    Column(name="seats", kind=Kind.INTEGER, nullable=True),
    Column(name="tail", kind=Kind.STRING, role=Role.ID),
    Column(name="late", kind=Kind.INTEGER, role=Role.TARGET, categories=("0", "1")),
)
_OLD = Contract(model="m", task=Task.BINARY, columns=_COLUMNS)
_KEPT = ("kind", "nullable", "minimum", "maximum", "categories")


def _with(name: str, **changed: Any) -> Contract:
    columns = [
        msgspec.structs.replace(one, **changed) if one.name == name else one for one in _COLUMNS
    ]
    return msgspec.structs.replace(_OLD, columns=tuple(columns))


@pytest.mark.parametrize(
    ("name", "changed", "breaks"),
    [
        ("wind", {"maximum": 30.0}, {Breaks.CALLERS}),
        ("wind", {"maximum": 50.0}, {Breaks.MODEL}),
        ("wind", {"out_of_range": Policy.WARN}, {Breaks.MODEL}),
        ("wind", {"out_of_range": Policy.CLIP}, {Breaks.NOBODY}),
        ("wind", {"nullable": True}, {Breaks.MODEL}),
        ("wind", {"missing": Policy.IMPUTE, "fill": 3.0}, {Breaks.NOBODY}),
        ("wind", {"kind": Kind.STRING}, {Breaks.CALLERS, Breaks.MODEL}),
        ("carrier", {"categories": ("UA",)}, {Breaks.CALLERS}),
        ("carrier", {"categories": ("UA", "AA", "DL")}, {Breaks.MODEL}),
        ("carrier", {"unseen": Policy.QUARANTINE}, {Breaks.NOBODY}),
        ("carrier", {"pattern": "[A-Z]{2}"}, {Breaks.NOBODY}),
        ("carrier", {"pattern": "[A-Z]{2}", "mismatched": Policy.REJECT}, {Breaks.CALLERS}),
        ("seats", {"kind": Kind.NUMBER}, {Breaks.MODEL}),
        ("seats", {"nullable": False}, {Breaks.CALLERS}),
        ("seats", {"role": Role.IGNORED}, {Breaks.CALLERS, Breaks.MODEL}),
        ("tail", {"role": Role.FEATURE}, {Breaks.CALLERS, Breaks.MODEL}),
        ("tail", {"role": Role.GROUP}, {Breaks.NOBODY}),
        ("late", {"categories": ("0", "1", "2")}, {Breaks.READERS}),
        ("late", {"null_rate": 0.5}, {Breaks.NOBODY}),
    ],
)
def test_whom_a_change_breaks(name: str, changed: dict[str, Any], breaks: set[Breaks]) -> None:
    """Each change is told with its column, old and new value, and who notices."""
    changes = compare(_OLD, _with(name, **changed))
    assert {(change.column, change.what) for change in changes} >= {
        (name, what) for what in changed
    }
    assert {one for change in changes for one in change.breaks} == breaks
    for change in changes:
        if change.what in changed:
            assert change.new == changed[change.what]


def test_columns_that_come_and_go() -> None:
    """A feature more or less breaks callers; a column that may be left out breaks who sends it."""
    less = msgspec.structs.replace(_OLD, columns=_COLUMNS[1:])
    assert [(c.column, c.what, c.old, c.new, c.breaks) for c in compare(_OLD, less)] == [
        ("wind", "column", "number", None, (Breaks.CALLERS, Breaks.MODEL))
    ]
    assert refuses_more(less, _OLD)
    without_id = msgspec.structs.replace(_OLD, columns=(*_COLUMNS[:3], _COLUMNS[4]))
    assert refuses_more(_OLD, without_id)
    assert not refuses_more(without_id, _OLD)
    turned = msgspec.structs.replace(_OLD, columns=_COLUMNS[::-1])
    assert [(c.what, c.breaks) for c in compare(_OLD, turned)] == [("order", (Breaks.CALLERS,))]
    assert compare(_OLD, _OLD) == ()
    regression = msgspec.structs.replace(_OLD, task=Task.REGRESSION)
    assert compare(_OLD, regression)[0].breaks == (Breaks.READERS,)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_rows(), st.data())
def test_what_breaks_no_caller_refuses_no_row(
    case: tuple[Contract, dict[str, Any]], data: st.DataObject
) -> None:
    """A row that the old contract answers is answered by every new one that breaks no caller."""
    old, row = case
    asked = {name: [value] for name, value in row.items()}
    assume(CompiledContract(old).check_request(asked).ok)
    columns = []
    for column in old.columns:
        drawn = data.draw(_column(column.name))
        kept = data.draw(
            st.sets(st.sampled_from(["kind", "nullable", "minimum", "maximum", "categories"]))
        )
        same = {name: getattr(column, name) for name in kept}
        columns.append(_as_a_file_may_say(msgspec.structs.replace(drawn, **same, fill=None)))
    new = msgspec.structs.replace(old, columns=tuple(columns))
    breaks = refuses_more(old, new)
    event(f"breaks: {breaks}")
    assert breaks or CompiledContract(new).check_request(asked).ok
