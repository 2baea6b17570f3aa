"""Rows and columns out of JSON and CSV: structure is judged here, values by the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.frames_rig import FRAME
from tests.serving_rig import CONTRACT

from shipway.contract.requests import RequestChecker
from shipway.contract.schema import Column, Contract
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import MalformedRequest, TooLarge, UnsupportedMedia
from shipway.serving.protocols.bounds import Bounds
from shipway.serving.protocols.csv_table import CsvReader
from shipway.serving.protocols.documents import Documents, read_object
from shipway.serving.protocols.media import media_type

BOUNDS = Bounds()
ROW = ["EWR", 100.0, 7, True]
NAMES = ["city", "distance", "hour", "rain"]
ONE = Contract(
    model="one", task=Task.REGRESSION, columns=(Column(name="x", kind=Kind.NUMBER, nullable=True),)
)


def documents(bounds: Bounds = BOUNDS) -> Documents:
    """The reader of the small contract."""
    return Documents(CONTRACT, bounds)


def test_lists_are_in_the_order_of_the_features() -> None:
    """A row as a list has the features in their order."""
    table = documents().rows([ROW, ["JFK", None, 8, False]], "instances")
    assert table == {
        "city": ["EWR", "JFK"], "distance": [100.0, None], "hour": [7, 8], "rain": [True, False],
    }  # fmt: skip


def test_records_may_leave_out_what_may_be_missing() -> None:
    """What a record leaves out is missing in it, whether others have it or none has."""
    record = {"city": "EWR", "hour": 7, "rain": True}
    assert documents().rows([record], "instances")["distance"] == [None]
    both = documents().rows([record, {**record, "distance": 1.0}], "instances")
    assert both["distance"] == [None, 1.0]
    assert RequestChecker(CONTRACT).check(both).ok
    without = documents().rows([{"city": "EWR"}], "instances")
    assert not RequestChecker(CONTRACT).check(without).ok


def test_strangers_are_the_contracts_business() -> None:
    """Columns that the contract does not know reach it, a hundred at most, however many come."""
    record = dict(zip(NAMES, ROW, strict=True)) | {f"x{n}": n for n in range(5_000)}
    table = documents().rows([record] * 3, "instances")
    assert len(table) == 4 + 100
    assert RequestChecker(CONTRACT).check(table).total == 100


def test_further_columns_are_there_if_any_row_has_them() -> None:
    """The time column comes in by name, and only where somebody sends it."""
    record = dict(zip(NAMES, ROW, strict=True))
    assert "departs" not in documents().rows([record], "instances")
    table = documents().rows([record | {"departs": "2013-04-01T12:00:00Z"}], "instances")
    assert table["departs"] == ["2013-04-01T12:00:00Z"]


def test_one_feature_takes_plain_values() -> None:
    """Where there is one feature a row may be its value, and elsewhere that is refused."""
    one = Documents(ONE, BOUNDS)
    assert one.rows([1.0, None], "instances") == {"x": [1.0, None]}
    assert one.rows([[1.0], [2.0]], "instances") == {"x": [1.0, 2.0]}
    with pytest.raises(MalformedRequest, match="plain values where rows of 4 are due"):
        documents().rows([1.0], "instances")


def test_columns_and_split() -> None:
    """Columns come by name in any order, nested or flat, and pandas' split form names its own."""
    given = dict(reversed([(name, [value]) for name, value in zip(NAMES, ROW, strict=True)]))
    assert list(documents().columns(given, "inputs")) == NAMES
    nested = documents().columns({**given, "hour": [[7]]}, "inputs")
    assert nested == documents().columns(given, "inputs")
    split = {"columns": NAMES[::-1], "index": [5], "data": [ROW[::-1]]}
    assert documents().split(split, "dataframe_split") == nested
    assert documents().split({"data": [ROW]}, "dataframe_split") == nested


@pytest.mark.parametrize(
    ("form", "value", "words"),
    [
        ("rows", [], "at least one row"),
        ("rows", {}, "at least one row"),
        ("rows", "rows", "at least one row"),
        ("rows", [ROW, ROW[1:]], "a row of 3 values where 4 are due"),
        ("rows", [ROW, {}], "mixes"),
        ("rows", [ROW, 1], "mixes"),
        ("columns", {"city": []}, "'city' that is no list of values"),
        ("columns", {"city": "EWR"}, "'city' that is no list of values"),
        ("columns", {"city": ["EWR"], "hour": [1, 2]}, "unequal length"),
        ("columns", {}, "no columns"),
        ("split", {"columns": NAMES}, "is not an object with data"),
        ("split", {"data": [ROW], "x": 1}, "'x' beside"),
        ("split", {"data": ROW}, "not a list of rows"),
        ("split", {"data": [ROW], "columns": NAMES[1:]}, "a row of 4 values where 3"),
        ("split", {"data": [ROW], "columns": ["city"] * 4}, "a name twice"),
        ("split", {"data": [ROW], "columns": [1, 2, 3, 4]}, "not a list of names"),
        ("split", {"data": [ROW], "index": [1, 2]}, "as long as data"),
    ],
)
def test_faults(form: str, value: Any, words: str) -> None:
    """A document that is no table is refused in words that name the field and the fault."""
    with pytest.raises(MalformedRequest, match=words) as caught:
        getattr(documents(), form)(value, "field")
    assert caught.value.message.startswith("field")


def test_too_many_values() -> None:
    """More values than allowed are refused by the name of the setting, in every form."""
    small = documents(Bounds(max_elements=7))
    asks: tuple[Callable[[], object], ...] = (
        lambda: small.rows([ROW, ROW], "instances"),
        lambda: small.rows([dict(zip(NAMES, ROW, strict=True))] * 2, "instances"),
        lambda: small.columns({name: [1, 2] for name in NAMES}, "inputs"),
        lambda: small.split({"data": [ROW, ROW]}, "split"),
        lambda: CsvReader(CONTRACT, Bounds(max_elements=7)).read(b"a,b,c,d\n1,2,3,4\n5,6,7,8\n"),
    )
    for ask in asks:
        with pytest.raises(TooLarge, match="7 are allowed") as caught:
            ask()
        assert "serve.max_elements" in caught.value.next_step


# ---- JSON -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "fine"),
    [
        (b"[" * 64 + b"]" * 64, True),
        (b"[" * 65 + b"]" * 65, False),
        (b'{"a":' * 65 + b"1" + b"}" * 65, False),
        (b"[" + b"[],[]," * 500 + b"[]]", True),
        (b'["' + b"[" * 500 + b'"]', True),
        (b'["\\"' + b"[" * 500 + b'"]', True),
        (b"[" * 1_000_000, False),
        (b'{"a": "' + b"[" * 100 + b'", "b": ' + b"[" * 70, False),
    ],
)
def test_depth(body: bytes, fine: bool) -> None:
    """JSON may nest 64 deep; brackets in text do not count, and a bomb costs nothing."""
    if fine:
        BOUNDS.check(body)
        return
    with pytest.raises(MalformedRequest, match="64 levels") as caught:
        BOUNDS.check(body)
    assert "serve.max_json_depth" in caught.value.next_step


def test_elements_are_counted_before_anything_is_decoded() -> None:
    """A body of more values than allowed is refused as it came."""
    body = b"[" + b"1," * 2_000 + b"1]"
    Bounds(max_elements=2_001).check(body)
    with pytest.raises(TooLarge, match="holds 2001 values"):
        Bounds(max_elements=2_000).check(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "a JSON list"),
        (b"null", "a JSON null"),
        (b'"x"', "a JSON text"),
        (b'{"a": NaN}', r"byte 6"),
        (b'{"a": -Infinity}', r"byte 7|byte 6"),
        (b'{"a": 1e999}', "out of range"),
        (b'\xff{"a": 1}', "not JSON"),
    ],
)
def test_no_json(body: bytes, words: str) -> None:
    """What is no JSON object is refused with the place; NaN and Infinity are none."""
    with pytest.raises(MalformedRequest, match=words):
        read_object(body, BOUNDS)


# ---- CSV --------------------------------------------------------------------------------------


def csv(text: str | bytes, *, header: bool = True) -> dict[str, Any]:
    """The columns of *text* for the contract with every kind."""
    data = text if isinstance(text, bytes) else text.encode()
    return dict(CsvReader(FRAME, BOUNDS).read(data, header=header))


def test_a_cell_means_what_its_column_is() -> None:
    """007 is text in a column of text and 7 in one of numbers; an empty cell is missing."""
    text = "note,amount,count,member,seen\n007,007,7.0,True,2013-04-01\n,,,,\n"
    assert csv(text) == {
        "note": ["007", None], "amount": [7.0, None], "count": [7.0, None],
        "member": [True, None], "seen": ["2013-04-01", None],
    }  # fmt: skip


def test_what_cannot_be_read_is_left_for_the_contract() -> None:
    """A cell that is no number, or no boolean, stays text, which the contract refuses by row."""
    table = csv("amount,count,member\nfar,1_000,yes\n1_0,7 days,1\n")
    assert table == {
        "amount": ["far", "1_0"], "count": ["1_000", "7 days"], "member": ["yes", "1"],
    }  # fmt: skip


def test_quotes_lines_and_marks() -> None:
    """Quoted commas, quotes and line ends are text; a byte order mark and CRLF are passed over."""
    table = csv(b'\xef\xbb\xbfnote,amount\r\n"a, ""b""\nc",1\r\n\r\n"",2\r\n')
    assert table == {"note": ['a, "b"\nc', None], "amount": [1.0, 2.0]}


def test_an_index_is_left_out() -> None:
    """The column without a name that pandas writes first is no column."""
    assert csv(",amount\n0,1.5\n1,2.5\n") == {"amount": [1.5, 2.5]}


def test_without_a_header() -> None:
    """Lines alone are the features in their order."""
    cells = "1.5,0.5,3,1,true,,Lima,n,1980-02-29,\n"
    assert csv(cells, header=False)["city"] == ["Lima"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no row"),
        (b"amount\n", "no row"),
        (b"amount,amount\n1,2\n", "a name twice"),
        (b"amount,count\n1\n", "row 0 has 1 cells where 2 are due: amount, count"),
        (b"amount,count\n1,2\n1,2,3\n", "row 1 has 3 cells"),
        (b'amount\n"1\n', "line"),
        (b'amount\n"1"2\n', "line 2"),
        (b"amount\n\xff\n", "byte 7 is not UTF-8"),
        (b"amount\n" + b"9" * 200_000 + b"\n", "field larger than"),
    ],
)
def test_no_csv(body: bytes, words: str) -> None:
    """What is no CSV is refused with its line, row or byte."""
    with pytest.raises(MalformedRequest, match=words):
        csv(body)


def test_a_number_of_many_digits_costs_nothing() -> None:
    """Digits without end are no whole number, and are not counted out."""
    assert csv("count\n" + "9" * 5_000 + "\n")["count"] == [float("inf")]


# ---- media types ------------------------------------------------------------------------------


def test_media_types() -> None:
    """The type is read in lower case with its parameters, and none is JSON."""
    known = frozenset({"header"})
    assert media_type(b"", known=known).name == "application/json"
    kind = media_type(b'Text/CSV; Charset="UTF-8"; header=absent', known=known)
    assert (kind.name, kind.parameters["header"]) == ("text/csv", "absent")
    for wrong in (b"text/csv; charset=latin-1", b"text/csv; q=1"):
        with pytest.raises(UnsupportedMedia):
            media_type(wrong, known=known)


def test_json_of_any_shape_is_read_or_refused() -> None:
    """A reader never raises anything but its own refusals."""
    shapes: list[Any] = [None, 1, "x", [], {}, [[]], [{}], {"a": 1}, {"a": [1]}, {"data": [[1]]}]
    for value in shapes:
        for form in ("rows", "columns", "split"):
            try:
                getattr(documents(), form)(json.loads(json.dumps(value)), "field")
            except MalformedRequest:
                continue
