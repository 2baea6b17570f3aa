"""Where scores come from and go to: every format, folders and patterns, folders of parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl
import pytest

from shipway.batch import output as output_module
from shipway.batch.job import Scorer
from shipway.batch.output import OutputManifest, manifest_path
from shipway.batch.score import ScoreSummary, estimate, score
from shipway.contract.schema import Contract
from shipway.domain.digests import digest_of
from shipway.errors import ContractViolated, StoreError, UnreadableTable, UsageError

ENDINGS = (".parquet", ".csv", ".arrow", ".jsonl")


def table(start: int, stop: int) -> pl.DataFrame:
    numbers = range(start, stop)
    return pl.DataFrame(
        {
            "key": [f"k{i}" for i in numbers],
            "x": [float(i) for i in numbers],
            "n": [i if i % 3 else None for i in numbers],
            "flag": [bool(i % 2) for i in numbers],
            "carrier": ["UA" if i % 2 else "AA" for i in numbers],
            "at": ["2013-04-01T12:00:00Z"] * len(numbers),
        },
        schema_overrides={"n": pl.Int64},
    )


WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    ".parquet": lambda frame, path: frame.write_parquet(path, row_group_size=7),
    ".csv": lambda frame, path: frame.write_csv(path),
    ".arrow": lambda frame, path: frame.write_ipc(path, record_batch_size=9),
    ".jsonl": lambda frame, path: frame.write_ndjson(path),
}
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".csv": pl.read_csv,
    ".arrow": pl.read_ipc,
    ".jsonl": pl.read_ndjson,
}


def write(frame: pl.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[path.suffix](frame, path)
    return path


def run(
    source: Path, output: Path, linear: Scorer, contract: Contract, **options: object
) -> ScoreSummary:
    return score(
        source,
        output,
        predictor=linear,
        contract=contract,
        version="toy@1",
        classes=(0, 1),
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("read_as", ENDINGS)
@pytest.mark.parametrize("written_as", ENDINGS)
def test_every_format_gives_the_same_answers(
    tmp_path: Path, linear: Scorer, contract: Contract, read_as: str, written_as: str
) -> None:
    """Whatever a table is read from and written to, its rows, scores and predictions stay."""
    source = write(table(0, 300), tmp_path / f"in{read_as}")
    output = tmp_path / f"out{written_as}"
    run(source, output, linear, contract, chunk_rows=64)
    made = READERS[written_as](output)
    assert made["row"].to_list() == list(range(300))
    assert made["key"].to_list() == [f"k{i}" for i in range(300)]
    assert made["score"].to_list() == [i / 1000 for i in range(300)]
    assert made["prediction"].to_list() == [0] * 300


def test_a_folder_is_read_in_the_order_of_its_names(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """Files of any format at any depth are one table; each row says which file it is of."""
    write(table(200, 250), tmp_path / "in" / "b.csv")
    write(table(0, 100), tmp_path / "in" / "2013" / "a.parquet")
    write(table(100, 200), tmp_path / "in" / "2013" / "b.jsonl")
    write(table(0, 9), tmp_path / "in" / "_old" / "z.parquet")
    write(table(0, 9), tmp_path / "in" / ".hidden.csv")
    (tmp_path / "in" / "README.txt").write_text("no table", encoding="utf-8")
    run(tmp_path / "in", tmp_path / "out.parquet", linear, contract, chunk_rows=30)
    made = pl.read_parquet(tmp_path / "out.parquet")
    assert made.columns[:3] == ["row", "file", "key"]
    assert made["key"].to_list() == [f"k{i}" for i in range(250)]
    assert made["row"].to_list() == list(range(250))
    assert made["file"].unique(maintain_order=True).to_list() == [
        "2013/a.parquet",
        "2013/b.jsonl",
        "b.csv",
    ]
    assert made["prediction_id"].n_unique() == 250


def test_a_pattern_takes_what_it_matches(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """A pattern names files by their names below the folders that it spells out."""
    for month in (1, 2, 3):
        write(table(month * 10, month * 10 + 10), tmp_path / f"m{month}" / "day.parquet")
    run(tmp_path / "m[12]" / "*.parquet", tmp_path / "out.parquet", linear, contract)
    made = pl.read_parquet(tmp_path / "out.parquet")
    assert made["key"].to_list() == [f"k{i}" for i in range(10, 30)]
    assert set(made["file"]) == {"m1/day.parquet", "m2/day.parquet"}
    with pytest.raises(UnreadableTable, match="no file is named"):
        run(tmp_path / "m9*", tmp_path / "out.parquet", linear, contract)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableTable, match="there is no parquet, Arrow, CSV or JSON lines"):
        run(tmp_path / "empty", tmp_path / "out.parquet", linear, contract)


def test_a_name_that_looks_like_a_pattern_is_a_name(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """A file that is there under the very name is taken, and it alone."""
    write(table(0, 5), tmp_path / "a[1].parquet")
    write(table(5, 10), tmp_path / "a1.parquet")
    run(tmp_path / "a[1].parquet", tmp_path / "out.parquet", linear, contract)
    made = pl.read_parquet(tmp_path / "out.parquet")
    assert made["key"].to_list() == [f"k{i}" for i in range(5)]
    assert "file" not in made.columns


def test_files_with_other_types_and_columns_go_together(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """Whole numbers beside fractions become fractions; what one file lacks is empty there."""
    first = table(0, 4).with_columns(pl.col("x").cast(pl.Int64), extra=pl.lit(1))
    write(first, tmp_path / "in" / "a.parquet")
    write(table(4, 8).with_columns(extra=pl.lit(0.5)), tmp_path / "in" / "b.parquet")
    write(table(8, 12).drop("key"), tmp_path / "in" / "c.parquet")
    run(tmp_path / "in", tmp_path / "out.parquet", linear, contract, keep_inputs=True)
    made = pl.read_parquet(tmp_path / "out.parquet")
    assert made["extra"].to_list() == [1.0] * 4 + [0.5] * 4 + [None] * 4
    assert made["key"].to_list() == [*(f"k{i}" for i in range(8)), *[None] * 4]
    assert made["score"].to_list() == [i / 1000 for i in range(12)]


def test_types_that_do_not_go_together_are_told(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """A record in one file and a number in another cannot be one column of the output."""
    write(table(0, 4).with_columns(more=pl.struct("x")), tmp_path / "in" / "a.parquet")
    write(table(4, 8).with_columns(more=1), tmp_path / "in" / "b.parquet")
    with pytest.raises(UnreadableTable, match="do not go together") as caught:
        run(tmp_path / "in", tmp_path / "out.parquet", linear, contract, keep_inputs=True)
    assert [problem.where for problem in caught.value.problems] == ["column more"]
    run(tmp_path / "in", tmp_path / "out.parquet", linear, contract)
    assert pl.read_parquet(tmp_path / "out.parquet").height == 8


def test_every_file_that_lacks_a_feature_is_told(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """The problems name file and column, those of all files at once."""
    write(table(0, 4), tmp_path / "in" / "a.parquet")
    write(table(0, 4).drop("x"), tmp_path / "in" / "b.parquet")
    write(table(0, 4).drop("x", "carrier"), tmp_path / "in" / "c.csv")
    with pytest.raises(ContractViolated, match=r"c\.csv lacks 2 of the model's 4") as caught:
        run(tmp_path / "in", tmp_path / "out.parquet", linear, contract)
    assert [problem.where for problem in caught.value.problems] == [
        "b.parquet, column x",
        "c.csv, column x",
        "c.csv, column carrier",
    ]


def test_bad_rows_of_several_files_are_set_aside_together(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """With the file that each is of, and a column that only one file has."""
    bad = pl.when(pl.int_range(pl.len()) == 1).then(-1.0).otherwise("x").alias("x")
    write(table(0, 40).with_columns(bad), tmp_path / "in" / "a.parquet")
    write(table(40, 80).with_columns(bad, more=pl.lit("m")), tmp_path / "in" / "b.parquet")
    summary = run(
        tmp_path / "in", tmp_path / "out.csv", linear, contract, keep_inputs=True, chunk_rows=7
    )
    assert summary.bad_rows == 2
    aside = pl.read_csv(f"{tmp_path}/out.csv.quarantine.csv")
    assert aside.columns[:3] == ["row", "file", "reasons"]
    assert aside["row"].to_list() == [1, 41]
    assert aside["file"].to_list() == ["a.parquet", "b.parquet"]
    assert aside["more"].to_list() == [None, "m"]


def test_values_of_json_lines_are_judged_as_a_request_is(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """A text is no number, 3.0 is a whole one, what is left out is missing; a line may be none."""
    good = {
        "key": "k",
        "x": 1,
        "n": 3.0,
        "flag": True,
        "carrier": "UA",
        "at": "2013-04-01T12:00:00Z",
    }
    rows = [
        good,
        {**good, "x": "1"},
        {**good, "n": 1.5, "flag": 1},
        {name: value for name, value in good.items() if name != "n"},
        {**good, "at": "soon"},
        {**good, "key": 7},
        {**good, "extra": {"a": [1]}},
    ]
    text = "\n".join(map(json.dumps, rows)) + '\n\n{"x": \n[1]\n'
    (tmp_path / "in.jsonl").write_text(text, encoding="utf-8")
    run(
        tmp_path / "in.jsonl",
        tmp_path / "out.parquet",
        linear,
        contract,
        keep_inputs=True,
        max_bad_share=1.0,
    )
    made = pl.read_parquet(tmp_path / "out.parquet")
    assert made["row"].to_list() == [0, 3, 6]
    assert made["n"].to_list() == [3, None, 3]
    assert made["extra"].to_list() == [None, None, '{"a":[1]}']
    aside = pl.read_csv(f"{tmp_path}/out.parquet.quarantine.csv")
    assert aside["row"].to_list() == [1, 2, 4, 5, 7, 8]
    reasons = aside["reasons"].to_list()
    assert reasons[0] == "x: '1' is not a number"
    assert reasons[1] == "n: 1.5 is not a whole number; flag: 1 is not true or false"
    assert "at: 'soon'" in reasons[2]
    assert reasons[3] == "key: 7 is not text"
    assert reasons[4] == "the line is no JSON object: '{\"x\":'"
    assert aside["x"].to_list()[:3] == [1.0, 1.0, 1.0]


def test_a_folder_of_predictions_is_told_by_its_manifest(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """One parquet file a part, named by the job; run again, the same names and bytes."""
    source = write(table(0, 250), tmp_path / "in.parquet")
    run(source, tmp_path / "out", linear, contract, chunk_rows=100)
    manifest = msgspec.json.decode(
        manifest_path(tmp_path / "out").read_bytes(), type=OutputManifest
    )
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert [part.rows for part in manifest.parts] == [100, 100, 50]
    assert {part.file: part.digest for part in manifest.parts} == {
        name: digest_of(content) for name, content in files.items()
    }
    assert (manifest.rows, manifest.bad_rows, manifest.version) == (250, 0, "toy@1")
    assert pl.read_parquet(tmp_path / "out")["row"].to_list() == list(range(250))
    run(source, tmp_path / "out", linear, contract, chunk_rows=100)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
    other = write(table(0, 120), tmp_path / "other.parquet")
    run(other, tmp_path / "out", linear, contract, chunk_rows=100)
    assert pl.read_parquet(tmp_path / "out").height == 120
    assert not {path.name for path in (tmp_path / "out").iterdir()} & set(files)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.parquet",
        "other.parquet",
        "out",
        "out.manifest.json",
    ]


def test_a_folder_that_was_cut_off_is_made_whole(
    tmp_path: Path, linear: Scorer, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its manifest a folder counts as unfinished, and the same command finishes it."""
    source = write(table(0, 250), tmp_path / "in.parquet")
    run(source, tmp_path / "out", linear, contract, chunk_rows=100)
    expected = manifest_path(tmp_path / "out").read_bytes()
    manifest_path(tmp_path / "out").unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "full")

    with monkeypatch.context() as patched:
        patched.setattr(output_module, "replace_file", full)
        with pytest.raises(StoreError, match="is full"):
            run(source, tmp_path / "out", linear, contract, chunk_rows=100)
    assert not manifest_path(tmp_path / "out").exists()
    asked = len(linear.sizes)  # type: ignore[attr-defined]
    run(source, tmp_path / "out", linear, contract, chunk_rows=100)
    assert manifest_path(tmp_path / "out").read_bytes() == expected
    assert len(linear.sizes) == asked  # type: ignore[attr-defined]


def test_a_folder_may_not_be_written_into_what_is_read(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """Neither the input itself nor a folder above it is an output."""
    write(table(0, 5), tmp_path / "in" / "a.parquet")
    for output in (tmp_path / "in", tmp_path):
        with pytest.raises(UsageError, match="would be written over"):
            run(tmp_path / "in", output, linear, contract)
    assert pl.read_parquet(tmp_path / "in" / "a.parquet").height == 5


@pytest.mark.parametrize("change", ["added", "removed", "written"])
def test_a_folder_that_changes_meanwhile_is_refused(
    tmp_path: Path, contract: Contract, linear: Scorer, change: str
) -> None:
    """A file that comes, goes or is written to while the folder is scored is found."""
    for name in ("a", "b"):
        write(table(0, 50), tmp_path / "in" / f"{name}.parquet")

    class Changing:
        def predict_columns(self, columns: object) -> object:
            last = tmp_path / "in" / "b.parquet"
            if change == "removed":
                last.unlink(missing_ok=True)
            else:
                write(table(0, 9), last if change == "written" else last.with_name("c.parquet"))
            return linear.predict_columns(columns)  # type: ignore[arg-type]

    with pytest.raises(UnreadableTable, match="was changed while it was being scored"):
        run(tmp_path / "in", tmp_path / "out.parquet", Changing(), contract)  # type: ignore[arg-type]
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_estimate_writes_nothing(
    tmp_path: Path, linear: Scorer, contract: Contract, ending: str
) -> None:
    """It tells rows, parts, time and disk from the first rows, and how many of those are bad."""
    bad = pl.when(pl.int_range(pl.len()) == 1).then(-1.0).otherwise("x").alias("x")
    write(table(0, 60_000).with_columns(bad), tmp_path / "in" / f"a{ending}")
    write(table(0, 100), tmp_path / "in" / "b.parquet")
    told = estimate(
        tmp_path / "in",
        tmp_path / "out.parquet",
        predictor=linear,
        contract=contract,
        version="toy@1",
        classes=(0, 1),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert told.counted is (ending in (".parquet", ".arrow"))
    assert abs(told.rows - 60_100) <= 60_100 * 0.05
    assert (told.files, told.parts, told.sampled_rows, told.sampled_bad_rows) == (2, 3, 10_000, 1)
    assert told.seconds > 0
    assert told.disk_bytes > 60_000
    with pytest.raises(UsageError):
        estimate(
            tmp_path / "in",
            tmp_path / "out.xlsx",
            predictor=linear,
            contract=contract,
            version="toy@1",
        )


def test_a_folder_of_anything_else_is_never_replaced(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """What lies in a folder that is named as the output by mistake is refused, and stays."""
    source = write(table(0, 30), tmp_path / "in.parquet")
    mine = write(table(0, 5), tmp_path / "data" / "train.parquet")
    for output in (tmp_path / "data", tmp_path / "data.v1"):
        if not output.exists():
            mine.parent.rename(output)
        with pytest.raises(UsageError, match=r"is no part of a score: train\.parquet"):
            run(source, output, linear, contract)
        assert [path.name for path in output.iterdir()] == ["train.parquet"]
    (tmp_path / "empty").mkdir()
    run(source, tmp_path / "empty", linear, contract)
    assert pl.read_parquet(tmp_path / "empty").height == 30
