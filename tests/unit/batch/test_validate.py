"""Holding tables against the contract: all that is wrong is counted, good and bad rows apart."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from shipway.batch import uniqueness
from shipway.batch.validate import validate
from shipway.contract.schema import Contract, Policy
from shipway.errors import UnreadableTable, UsageError


def table(rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": [f"k{i}" for i in range(rows)],
            "x": [float(i) for i in range(rows)],
            "n": [i if i % 3 else None for i in range(rows)],
            "flag": [bool(i % 2) for i in range(rows)],
            "carrier": ["UA"] * rows,
            "at": ["2013-04-01T12:00:00Z"] * rows,
            "late": [i % 2 for i in range(rows)],
            "more": ["m"] * rows,
        }
    )


def test_one_bad_cell_accuses_one_row(tmp_path: Path, contract: Contract) -> None:
    """In CSV too, where a whole column would else be read as text."""
    text = table(1000).write_csv().replace("k7,7.0,7,", "k7,seven,7,")
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    report = validate(tmp_path / "in.csv", contract)
    assert (report.rows, report.bad_rows, report.violations_total) == (1000, 1, 1)
    assert [(v.row, v.column, v.code, v.value) for v in report.violations] == [
        (7, "x", "contract.wrong-type", "'seven'")
    ]
    assert report.notes == ("not in the contract and not used: more",)
    assert not report.ok


def test_good_and_bad_rows_are_written_apart(tmp_path: Path, contract: Contract) -> None:
    """Of a folder, in order, typed by the contract; the bad ones with number, file and reasons."""
    folder = tmp_path / "in"
    folder.mkdir()
    bad = table(60).with_columns(
        x=pl.when(pl.int_range(60) == 5).then(-1.0).otherwise("x"),
        late=pl.when(pl.int_range(60) == 9).then(None).otherwise("late"),
    )
    bad.write_parquet(folder / "a.parquet")
    table(40).with_columns(flag=pl.lit("perhaps")).write_csv(folder / "b.csv")
    table(20).write_ndjson(folder / "c.jsonl")
    report = validate(folder, contract, good=tmp_path / "good.parquet", bad=tmp_path / "bad.csv")
    assert (report.rows, report.bad_rows) == (120, 42)
    good = pl.read_parquet(tmp_path / "good.parquet")
    assert good.height == 78
    assert good.schema["x"] == pl.Float64
    assert good["key"].to_list()[-20:] == [f"k{i}" for i in range(20)]
    aside = pl.read_csv(tmp_path / "bad.csv")
    assert aside["row"].to_list() == [5, 9, *range(60, 100)]
    assert aside["file"].unique(maintain_order=True).to_list() == ["a.parquet", "b.csv"]
    assert aside["reasons"][1] == "late: the value is missing; late is never empty"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "good.parquet", "in"]
    validate(folder / "c.jsonl", contract, bad=tmp_path / "bad.csv")
    assert not (tmp_path / "bad.csv").exists()


def test_every_violation_is_counted_and_a_hundred_are_told(
    tmp_path: Path, contract: Contract
) -> None:
    """By column, code and policy; soft ones too, with their rows in the whole table."""
    columns = [
        msgspec.structs.replace(column, unseen=Policy.QUARANTINE)
        if column.name == "carrier"
        else column
        for column in contract.columns
    ]
    mild = msgspec.structs.replace(contract, columns=tuple(columns))
    frame = table(120_000).with_columns(
        carrier=pl.when(pl.int_range(120_000) >= 110_000).then(pl.lit("ZZ")).otherwise("carrier"),
        x=pl.when(pl.int_range(120_000) % 2 == 0).then(-1.0).otherwise("x"),
    )
    frame.write_parquet(tmp_path / "in.parquet")
    report = validate(tmp_path / "in.parquet", mild)
    assert {(c.column, c.code): (c.rows, c.policy) for c in report.counts} == {
        ("x", "contract.out-of-range"): (60_000, Policy.REJECT),
        ("carrier", "contract.unseen-category"): (10_000, Policy.QUARANTINE),
    }
    assert (report.violations_total, report.bad_rows) == (70_000, 65_000)
    assert [v.row for v in report.violations] == list(range(0, 200, 2))
    soft = validate(tmp_path / "in.parquet", contract)
    assert soft.warnings == {"contract.unseen-category": 10_000}
    assert [v.row for v in soft.soft[:2]] == [110_000, 110_001]


def test_a_missing_feature_refuses_every_row(tmp_path: Path, contract: Contract) -> None:
    """It is told once, however many rows there are."""
    table(60_000).rename({"x": "xx"}).write_parquet(tmp_path / "in.parquet")
    report = validate(
        tmp_path / "in.parquet", contract, good=tmp_path / "good.csv", bad=tmp_path / "bad.csv"
    )
    assert [v.code for v in report.violations] == ["contract.missing-column"]
    assert (report.violations_total, report.bad_rows) == (1, 60_000)
    assert pl.read_csv(tmp_path / "good.csv").height == 0
    assert pl.read_csv(tmp_path / "bad.csv").height == 60_000


def test_places_that_make_no_sense(tmp_path: Path, contract: Contract) -> None:
    """Over the input, in one place, in no folder, in a format that holds no reasons."""
    source = tmp_path / "in.csv"
    table(5).write_csv(source)
    other = tmp_path / "other.csv"
    for good, bad in (
        (source, None),
        (None, source),
        (other, other),
        (tmp_path / "nowhere" / "good.csv", None),
        (None, tmp_path / "bad.parquet"),
        (tmp_path / "folder", None),
    ):
        with pytest.raises(UsageError):
            validate(source, contract, good=good, bad=bad)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
    table(5).clear().write_parquet(tmp_path / "empty.parquet")
    with pytest.raises(UnreadableTable, match="no rows"):
        validate(tmp_path / "empty.parquet", contract)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_values_of_a_unique_column_stand_once(
    tmp_path: Path, contract: Contract, ending: str
) -> None:
    """Each row but the first is told, with the row that has the value, over chunks and files."""
    columns = [
        msgspec.structs.replace(column, unique=column.name == "key") for column in contract.columns
    ]
    strict = msgspec.structs.replace(contract, columns=tuple(columns))
    keys = pl.Series("key", [f"k{i}" for i in range(60_000)])
    keys = keys.set(pl.Series(range(60_000)).is_in([7, 55_000, 59_999]), "same")
    keys = keys.set(pl.Series(range(60_000)).is_in([8, 9]), None)
    frame = table(60_000).with_columns(keys)
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / f"a{ending}"
    if ending == ".parquet":
        frame.write_parquet(path)
    elif ending == ".csv":
        frame.write_csv(path)
    else:
        frame.write_ndjson(path)
    table(3).with_columns(key=pl.Series(["k5", "new", "k70000"])).write_parquet(
        folder / "b.parquet"
    )
    report = validate(folder, strict, bad=tmp_path / "bad.csv")
    assert [(v.row, v.code, v.message) for v in report.violations] == [
        (55_000, "contract.duplicate", "'same' stands in row 7 already"),
        (59_999, "contract.duplicate", "'same' stands in row 7 already"),
        (60_000, "contract.duplicate", "'k5' stands in row 5 already"),
    ]
    assert (report.bad_rows, report.violations_total) == (3, 3)
    assert pl.read_csv(tmp_path / "bad.csv")["row"].to_list() == [55_000, 59_999, 60_000]
    assert validate(folder, contract).ok


def test_two_values_of_one_hash_accuse_nobody(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are told by themselves, whatever their hashes are."""
    columns = [
        msgspec.structs.replace(column, unique=column.name == "x") for column in contract.columns
    ]
    strict = msgspec.structs.replace(contract, columns=tuple(columns))
    table(50).write_parquet(tmp_path / "in.parquet")
    monkeypatch.setattr(
        uniqueness, "_hashes", lambda values: np.zeros(len(values), dtype=np.uint64)
    )
    assert validate(tmp_path / "in.parquet", strict).ok
    frame = table(50).with_columns(x=pl.when(pl.int_range(50) == 9).then(3.0).otherwise("x"))
    frame.write_parquet(tmp_path / "in.parquet")
    assert [v.row for v in validate(tmp_path / "in.parquet", strict).violations] == [9]
