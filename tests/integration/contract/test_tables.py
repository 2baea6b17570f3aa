"""Tables from files: read as meant, or refused with the next step."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from shipway.contract.tables import (
    describe_table,
    digest_table,
    read_table,
    reading,
    scan_table,
)
from shipway.domain.digests import digest_of
from shipway.domain.model import Kind
from shipway.errors import UnreadableTable

_TIME = pl.Datetime("us", "UTC")


def _write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_parquet_and_csv_give_the_same_table(tmp_path: Path) -> None:
    """Whatever the file is called."""
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [0.5, 1.0]})
    frame.write_parquet(tmp_path / "t.csv")
    frame.write_csv(tmp_path / "t.txt")
    assert read_table(tmp_path / "t.csv").equals(frame)
    assert read_table(tmp_path / "t.txt").equals(frame)
    assert scan_table(tmp_path / "t.txt").collect().equals(frame)


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["2013-01-01", "NA"], pl.Date()),
        (["2013-01-01T05:00:00Z", ""], _TIME),
        (["2013-01-01 05:00", "2013-01-01 06:30"], _TIME),
        (["2013-01-01T05:00:00.25-04:00", "2013-07-01T05:00+02:00"], _TIME),
        (["2013-01-01", "soon"], pl.String()),
        (["01/02/2013", "03/02/2013"], pl.String()),
        (["NA", "NA"], pl.String()),
        (["1", "NA"], pl.Int64()),
        (["1", "1.5"], pl.Float64()),
        (["true", "false"], pl.Boolean()),
    ],
)
def test_cells_of_a_csv_get_their_type(tmp_path: Path, cells: list[str], dtype: object) -> None:
    """ISO 8601 becomes a date or a UTC time, doubtful dates stay text, NA is missing."""
    path = _write(tmp_path, "t.csv", "\n".join(["row,x", *(f"1,{cell}" for cell in cells)]))
    frame = read_table(path)
    assert frame.schema["x"] == dtype
    assert frame["x"].null_count() == sum(cell in {"NA", ""} for cell in cells)


def test_a_time_that_turns_out_otherwise_far_down_stays_text(tmp_path: Path) -> None:
    """The first rows suggest a type, all of them decide."""
    lines = ["x", *["2013-01-01"] * 1000, "never"]
    assert read_table(_write(tmp_path, "t.csv", "\n".join(lines))).schema["x"] == pl.String


def test_the_contract_keeps_text_from_becoming_numbers(tmp_path: Path) -> None:
    """A zip code keeps its leading zero."""
    path = _write(tmp_path, "t.csv", "zip,day\n01234,2013-01-01\n")
    kinds = {"zip": Kind.STRING, "day": Kind.STRING, "absent": Kind.STRING}
    assert read_table(path, kinds=kinds).row(0) == ("01234", "2013-01-01")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_and_marks_are_understood(tmp_path: Path, separator: str) -> None:
    """Semicolons, tabs, bars, Windows line ends and a byte order mark."""
    text = f"\ufeffa{separator}b\r\n1{separator}x\r\n"
    assert read_table(_write(tmp_path, "t.csv", text)).row(0, named=True) == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b"a,a\n1,2\n", "'a' stands twice"),
        ("a.csv", b",b\n0,1\n", "index=False"),
        ("a.csv", "é,b\n1,2\n".encode("latin-1"), "not text in UTF-8"),
        ("a.csv", b"a,b\n1,2,3\n", "cannot be read"),
        ("a.csv", b"a\0b", "binary file"),
        ("a.csv", b"PK\x03\x04rest", "zip archive"),
        ("a.csv", b"\x1f\x8brest", "gzip"),
        ("a.csv", b"\xff\xfea\0", "UTF-16"),
        ("a.json", b'[{"a": 1}]', "JSON, one list"),
        ("a.jsonl", b'{"a": 1}\n{"a": tru', "cannot be read"),
        ("a.arrow", b"a,b\n1,2\n", "does not hold arrow"),
        ("a.arrow", b"ARROW1 cut off", "cannot be read"),
        ("a.arrow", b"\xff\xff\xff\xffrest", "a stream of Arrow messages"),
        ("a.parquet", b"a,b\n1,2\n", "does not hold parquet"),
        ("a.parquet", b"PAR1 cut off", "cannot be read"),
        ("a.pkl", b"\x80\x05rest", "pickle"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_words(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    """What it is instead, and what to do."""
    with pytest.raises(UnreadableTable, match=words) as caught:
        read_table(_write(tmp_path, name, content))
    assert caught.value.next_step


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    """A copy that was cut short is damaged, not empty."""
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableTable, match="damaged"):
        read_table(path)


def test_a_missing_file_is_told_with_its_neighbours(tmp_path: Path) -> None:
    """With the tables that lie beside the wrong name."""
    _write(tmp_path, "train.csv", "a\n1\n")
    with pytest.raises(UnreadableTable, match=r"no file(.|\n)*train\.csv"):
        read_table(tmp_path / "trian.csv")


def test_every_format_gives_the_same_table(tmp_path: Path) -> None:
    """Parquet, Arrow and JSON lines hold the same values, times among them."""
    frame = pl.DataFrame(
        {
            "a": [1, None, 3],
            "b": ["x", "NA", None],
            "day": ["2013-01-01", None, "2013-01-03"],
            "zip": ["01", "02", "03"],
        }
    )
    typed = frame.with_columns(pl.col("day").str.to_date())
    typed.write_parquet(tmp_path / "t.parquet")
    typed.write_ipc(tmp_path / "t.arrow")
    frame.write_ndjson(tmp_path / "t.jsonl")
    tables = [read_table(tmp_path / f"t.{ending}") for ending in ("parquet", "arrow", "jsonl")]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    kinds = {"day": Kind.STRING}
    assert read_table(tmp_path / "t.jsonl", kinds=kinds)["day"].to_list() == frame["day"].to_list()


def test_a_folder_and_a_pattern_are_one_table(tmp_path: Path) -> None:
    """In the order of the names; numbers become what holds them all, columns may change places."""
    _write(tmp_path, "b.csv", "x,a\nu,2.5\n")
    _write(tmp_path, "c.jsonl", '{"a": 3, "x": "v"}\n')
    pl.DataFrame({"a": [1], "x": ["t"]}).write_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path).rows() == [(1.0, "t"), (2.5, "u"), (3.0, "v")]
    assert read_table(tmp_path / "[bc].*").rows() == [("u", 2.5), ("v", 3.0)]
    facts = describe_table(tmp_path)
    assert (facts.rows, facts.columns) == (3, 2)
    assert facts.digest == digest_table(tmp_path)
    (tmp_path / "b.csv").rename(tmp_path / "d.csv")
    assert digest_table(tmp_path) != facts.digest


def test_an_empty_path_is_not_the_folder_one_is_in() -> None:
    """A variable of the shell that is not set does not read whatever lies about."""
    for path in (Path(), ".", ""):
        with pytest.raises(UnreadableTable, match="no table is named"):
            read_table(path)


def test_files_with_other_columns_are_told(tmp_path: Path) -> None:
    """Every file that differs from the first, with what it lacks and what it has."""
    _write(tmp_path, "a.csv", "x,y\n1,2\n")
    _write(tmp_path, "b.csv", "x,z\n1,2\n")
    _write(tmp_path, "c.csv", "x\n1\n")
    with pytest.raises(UnreadableTable, match="2 of the 3 files") as caught:
        read_table(tmp_path)
    assert [problem.message for problem in caught.value.problems] == [
        "lacks y and has z",
        "lacks y",
    ]


def test_types_that_do_not_go_together_are_told(tmp_path: Path) -> None:
    """A number here and a word there is no column; a column without any value goes with all."""
    _write(tmp_path, "a.csv", "x,y,z,t\n1,2,,2013-01-01\n")
    _write(tmp_path, "b.csv", "x,y,z,t\none,2.5,3,today\n")
    with pytest.raises(UnreadableTable, match="do not go together") as caught:
        read_table(tmp_path)
    assert [str(problem) for problem in caught.value.problems] == [
        "column x: Int64 in a.csv, String in b.csv [data.unreadable]",
        "column t: Date in a.csv, String in b.csv [data.unreadable]",
    ]
    _write(tmp_path, "b.csv", "x,y,z,t\n4,2.5,3,\n")
    assert read_table(tmp_path).rows() == [(1, 2.0, None, date(2013, 1, 1)), (4, 2.5, 3, None)]


def test_damage_found_late_is_told_within_reading(tmp_path: Path) -> None:
    """A stream that breaks half-way is an unreadable table too."""
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": range(100_000)}).write_parquet(path)
    lazy = scan_table(path)
    whole = bytearray(path.read_bytes())
    whole[100:2000] = bytes(1900)
    path.write_bytes(bytes(whole))
    with pytest.raises(UnreadableTable, match="cannot be read"), reading(path):
        lazy.collect()


def test_a_table_is_described_for_the_records(tmp_path: Path) -> None:
    """Rows, columns, the digest of its bytes, and the span of its time."""
    path = _write(tmp_path, "t.csv", "a,t\n1,2013-04-01T05:00:00+02:00\n2,2013-05-01T00:00:00Z\n")
    facts = describe_table(path, time="t")
    assert (facts.rows, facts.columns) == (2, 2)
    assert facts.digest == digest_table(path) == digest_of(path.read_bytes())
    assert (facts.time_from, facts.time_to) == ("2013-04-01T03:00:00Z", "2013-05-01T00:00:00Z")
    assert describe_table(path).time_from == ""
