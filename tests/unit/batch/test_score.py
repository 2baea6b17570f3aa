"""Scoring a table: the same rows in the same order, bad ones set aside, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.batch.job import Scorer
from shipway.batch.score import ScoreSummary, score
from shipway.contract.schema import Contract, Policy, Role
from shipway.domain.metrics import Task
from shipway.errors import ContractViolated, PredictionFailed, UnreadableTable, UsageError
from shipway.inference.decision import Decided
from shipway.runtimes.port import Columns

CLASSES = (0, 1)


def table(rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": [f"k{i}" for i in range(rows)],
            "x": [float(i) for i in range(rows)],
            "n": [i if i % 3 else None for i in range(rows)],
            "flag": [bool(i % 2) for i in range(rows)],
            "carrier": ["UA" if i % 2 else "=AA" for i in range(rows)],
            "at": ["2013-04-01T12:00:00Z"] * rows,
            "late": [0] * rows,
            "extra": [i * 2 for i in range(rows)],
        }
    )


def write(frame: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path, row_group_size=7)
    return path


def read(path: Path) -> pl.DataFrame:
    return pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)


def run(
    source: Path,
    output: Path,
    predictor: Scorer,
    contract: Contract,
    **options: object,
) -> ScoreSummary:
    return score(
        source,
        output,
        predictor=predictor,
        contract=contract,
        version="toy@1",
        classes=CLASSES,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("suffix_in", [".csv", ".parquet"])
@pytest.mark.parametrize("suffix_out", [".csv", ".parquet"])
def test_every_row_is_answered_in_order(
    tmp_path: Path, linear: Scorer, contract: Contract, suffix_in: str, suffix_out: str
) -> None:
    """Each row has its prediction, score, version and id, in the order of the input."""
    source = write(table(1000), tmp_path / f"in{suffix_in}")
    output = tmp_path / f"out{suffix_out}"
    summary = run(source, output, linear, contract, chunk_rows=64)
    made = read(output)
    assert made.columns == ["row", "key", "prediction", "score", "model_version", "prediction_id"]
    assert made["row"].to_list() == list(range(1000))
    assert made["key"].to_list() == [f"k{i}" for i in range(1000)]
    assert made["score"].to_list() == [i / 1000 for i in range(1000)]
    assert made["prediction"].to_list() == [int(i >= 500) for i in range(1000)]
    assert set(made["model_version"]) == {"toy@1"}
    assert made["prediction_id"].n_unique() == 1000
    assert made["prediction_id"][7].endswith(":7")
    assert (summary.rows, summary.bad_rows, summary.quarantine) == (1000, 0, None)
    assert summary.warnings == {"contract.unseen-category": 500}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source.name, output.name])


def test_chunks_bound_a_call(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """The model never sees more rows at once than one chunk, and the chunk changes no answer."""
    source = write(table(500), tmp_path / "in.parquet")
    run(source, tmp_path / "a.parquet", linear, contract, chunk_rows=64)
    assert max(linear.sizes) <= 64  # type: ignore[attr-defined]
    run(source, tmp_path / "b.parquet", linear, contract, chunk_rows=1000)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_ids_are_of_input_and_version(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """The same job gives the same prediction ids; another version or input gives others."""
    source = write(table(3), tmp_path / "in.csv")
    other = write(table(4), tmp_path / "other.csv")

    def ids(table: Path, version: str) -> list[str]:
        output = tmp_path / "out.parquet"
        score(table, output, predictor=linear, contract=contract, version=version, classes=CLASSES)
        found: list[str] = read(output)["prediction_id"].to_list()[:3]
        return found

    assert ids(source, "toy@1") == ids(source, "toy@1")
    assert not set(ids(source, "toy@1")) & set(ids(source, "toy@2"))
    assert not set(ids(source, "toy@1")) & set(ids(other, "toy@1"))


def test_inputs_are_kept_on_request(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """With keep_inputs every column stays; one with a name of ours is renamed."""
    source = write(table(4).rename({"extra": "score"}), tmp_path / "in.parquet")
    run(source, tmp_path / "out.parquet", linear, contract, keep_inputs=True)
    made = read(tmp_path / "out.parquet")
    assert made["input_score"].to_list() == [0, 2, 4, 6]
    assert made["carrier"].to_list() == ["=AA", "UA", "=AA", "UA"]
    assert made["score"].to_list() == [0.0, 0.001, 0.002, 0.003]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_bad_rows_are_set_aside(
    tmp_path: Path, linear: Scorer, contract: Contract, suffix: str
) -> None:
    """Rows that break the contract go to the quarantine with reasons; the rest are answered."""
    frame = table(200).with_columns(
        x=pl.when(pl.int_range(200) == 7).then(-1.0).otherwise(pl.col("x")),
        at=pl.when(pl.int_range(200).is_in([7, 70])).then(pl.lit("soon")).otherwise("at"),
    )
    source = write(frame, tmp_path / f"in{suffix}")
    output = tmp_path / f"out{suffix}"
    summary = run(source, output, linear, contract, chunk_rows=50)
    assert (summary.rows, summary.bad_rows) == (200, 2)
    assert summary.quarantine == f"{output}.quarantine.csv"
    aside = read(Path(summary.quarantine))
    assert aside["row"].to_list() == [7, 70]
    assert "x: " in aside["reasons"][0]
    assert "at: 'soon' is not a time" in aside["reasons"][0]
    assert aside["x"].to_list() == [-1.0, 70.0]
    assert read(output)["row"].to_list() == [i for i in range(200) if i not in (7, 70)]


def test_a_wrong_cell_costs_one_row(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """In CSV a word where a number is due spoils its own row alone."""
    text = "x,n,flag,carrier\n" + "1,2,true,UA\n" * 30 + "many,2,true,UA\n" + "2,,,\n" * 9
    (tmp_path / "in.csv").write_text(text)
    summary = run(tmp_path / "in.csv", tmp_path / "out.csv", linear, contract)
    assert summary.bad_rows == 1
    aside = read(tmp_path / "out.csv.quarantine.csv")
    assert aside.row(0, named=True)["reasons"] == "x: 'many' is not a number"
    assert read(tmp_path / "out.csv").height == 39


def test_every_bad_row_has_its_reason(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """However many rows are bad, each has its own reasons (a report tells only a hundred)."""
    frame = table(1500).with_columns(x=-pl.col("x") - 1, at=pl.lit("never"))
    source = write(frame, tmp_path / "in.parquet")
    summary = run(source, tmp_path / "out.parquet", linear, contract, max_bad_share=1.0)
    aside = read(Path(str(summary.quarantine)))
    assert aside["row"].to_list() == list(range(1500))
    assert aside["reasons"].str.contains(r"^x: .*; at: ").all()
    assert read(tmp_path / "out.parquet").height == 0


def test_too_many_bad_rows_stop_it(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """Above the stated share there is no output, the old one stays, and the rows are told."""
    source = write(table(100).with_columns(x=pl.lit(-1.0)), tmp_path / "in.csv")
    output = tmp_path / "out.csv"
    output.write_text("as it was")
    with pytest.raises(ContractViolated, match="at most 5 of 100") as caught:
        run(source, output, linear, contract, chunk_rows=1000)
    assert len(caught.value.problems) == 20
    assert caught.value.problems[0].where == "row 0"
    assert output.read_text() == "as it was"
    assert read(tmp_path / "out.csv.quarantine.csv").height == 100


def test_share_is_judged_at_the_end(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """Where the length is not known, bad rows at the beginning do not stop a good table."""
    frame = table(400).with_columns(
        x=pl.when(pl.int_range(400) < 4).then(-1.0).otherwise(pl.col("x"))
    )
    source = write(frame, tmp_path / "in.csv")
    assert run(source, tmp_path / "out.csv", linear, contract, chunk_rows=10).bad_rows == 4


def test_on_bad_fail_stops_at_the_first(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """With on_bad fail one bad row is an error, and nothing at all is written."""
    frame = table(10).with_columns(
        x=pl.when(pl.int_range(10) == 3).then(None).otherwise(pl.col("x"))
    )
    source = write(frame, tmp_path / "in.parquet")
    with pytest.raises(ContractViolated) as caught:
        run(source, tmp_path / "out.csv", linear, contract, on_bad="fail")
    assert [problem.where for problem in caught.value.problems] == ["row 3"]
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_a_clean_run_removes_an_old_quarantine(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """No quarantine of an earlier run lies beside a result that has none."""
    source = write(table(10), tmp_path / "in.csv")
    (tmp_path / "out.csv.quarantine.csv").write_text("old")
    run(source, tmp_path / "out.csv", linear, contract)
    assert not (tmp_path / "out.csv.quarantine.csv").exists()


def test_excel_safe_quotes_text(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """With excel_safe no text of the output or the quarantine starts a formula."""
    frame = table(40).with_columns(
        key=pl.lit("@k"), x=pl.when(pl.int_range(40) == 0).then(-1.0).otherwise(pl.col("x"))
    )
    source = write(frame.rename({"extra": "=extra"}), tmp_path / "in.csv")
    run(source, tmp_path / "out.csv", linear, contract, keep_inputs=True, excel_safe=True)
    made = read(tmp_path / "out.csv")
    assert "'=extra" in made.columns
    assert set(made["key"]) == {"'@k"}
    assert "'=AA" in set(made["carrier"])
    assert read(tmp_path / "out.csv.quarantine.csv")["key"].to_list() == ["'@k"]


def test_multiclass_has_a_probability_each(tmp_path: Path, contract: Contract) -> None:
    """A multiclass model's output has one probability a class and the class's own value."""

    class Three:
        def predict_columns(self, columns: Columns) -> Decided:
            n = len(columns["x"])
            labels = np.array(["b"] * n, dtype=object)
            return Decided(np.tile([0.2, 0.5, 0.3], (n, 1)), labels)

    source = write(table(5), tmp_path / "in.parquet")
    score(
        source,
        tmp_path / "out.parquet",
        predictor=Three(),
        contract=_with_task(contract, Task.MULTICLASS),
        version="toy@1",
        classes=("a", "b", "c"),
    )
    made = read(tmp_path / "out.parquet")
    assert made["prediction"].to_list() == ["b"] * 5
    assert made.select(pl.col("^probability_.*$")).row(0) == (0.2, 0.5, 0.3)


def test_regression_is_its_value(tmp_path: Path, contract: Contract) -> None:
    """A regression's prediction is the value; there is no score beside it."""

    class Double:
        def predict_columns(self, columns: Columns) -> Decided:
            values = columns["x"].astype(np.float64) * 2
            return Decided(values, values)

    source = write(table(5), tmp_path / "in.csv")
    score(
        source,
        tmp_path / "out.csv",
        predictor=Double(),
        contract=_with_task(contract, Task.REGRESSION),
        version="toy@1",
    )
    made = read(tmp_path / "out.csv")
    assert made["prediction"].to_list() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert "score" not in made.columns


def test_failing_model_leaves_nothing(tmp_path: Path, contract: Contract) -> None:
    """When the model fails in the middle its own error comes through and no file stays."""

    class Broken:
        def predict_columns(self, columns: Columns) -> Decided:
            raise PredictionFailed("boom", next_step="mend it")

    source = write(table(5), tmp_path / "in.csv")
    with pytest.raises(PredictionFailed, match="boom"):
        run(source, tmp_path / "out.csv", Broken(), contract)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.parquet", b"PAR1 not really"),
        ("in.parquet", b""),
        ("in.csv", b""),
        ("in.csv", b"x,n,flag,carrier\n"),
        ("in.csv", b"x,n,flag,carrier\n1,2,true,\xff\xfe\n"),
    ],
)
def test_unreadable_tables(
    tmp_path: Path, linear: Scorer, contract: Contract, name: str, content: bytes
) -> None:
    """A damaged, empty or wrongly encoded table is one clear error, and nothing is written."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableTable):
        run(tmp_path / name, tmp_path / "out.csv", linear, contract)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_missing_features_are_all_named(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """A table without some of the features is refused at once, with all of their names."""
    source = write(table(5).drop("x", "flag"), tmp_path / "in.csv")
    with pytest.raises(ContractViolated, match="2 of the model's 4") as caught:
        run(source, tmp_path / "out.csv", linear, contract)
    assert [p.where for p in caught.value.problems] == ["column x", "column flag"]


def test_wrong_arguments(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """A missing file, an unknown format, the same file twice and a missing folder are told."""
    source = write(table(5), tmp_path / "in.csv")
    with pytest.raises(UnreadableTable, match="there is no file"):
        run(tmp_path / "no.csv", tmp_path / "out.csv", linear, contract)
    with pytest.raises(UsageError, match="neither of parquet, arrow, csv, jsonl, nor a folder"):
        run(source, tmp_path / "out.xlsx", linear, contract)
    with pytest.raises(UsageError, match="written over"):
        run(source, source, linear, contract)
    with pytest.raises(UsageError, match="no folder"):
        run(source, tmp_path / "no" / "out.csv", linear, contract)
    with pytest.raises(UsageError, match="make no sense"):
        run(source, tmp_path / "out.csv", linear, contract, chunk_rows=0)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    bad=st.sets(st.integers(0, 59)),
    chunk_rows=st.sampled_from([7, 13, 59, 70]),
    as_text=st.booleans(),
)
def test_rows_are_neither_lost_nor_doubled(
    tmp_path: Path,
    contract: Contract,
    linear: Scorer,
    bad: set[int],
    chunk_rows: int,
    as_text: bool,
) -> None:
    """Whatever rows are bad and however it is cut, each row is in exactly one of the two files."""
    frame = table(60).with_columns(
        x=pl.when(pl.int_range(60).is_in(sorted(bad))).then(-1.0).otherwise(pl.col("x"))
    )
    source = write(frame, tmp_path / ("in.csv" if as_text else "in.parquet"))
    output = tmp_path / "out.parquet"
    summary = run(source, output, linear, contract, chunk_rows=chunk_rows, max_bad_share=1.0)
    aside = set(read(Path(summary.quarantine))["row"]) if summary.quarantine else set()
    assert aside == bad
    assert read(output)["row"].to_list() == sorted(set(range(60)) - bad)


def _with_task(contract: Contract, task: Task) -> Contract:
    columns = tuple(column for column in contract.columns if column.role is not Role.TARGET)
    return Contract(model=contract.model, task=task, columns=columns)


def test_rows_in_quarantine_are_expected(
    tmp_path: Path, linear: Scorer, contract: Contract
) -> None:
    """They are set aside, however many they are; rejected ones count against the share."""
    columns = [
        msgspec.structs.replace(column, unseen=Policy.QUARANTINE)
        if column.name == "carrier"
        else column
        for column in contract.columns
    ]
    mild = msgspec.structs.replace(contract, columns=tuple(columns))
    source = write(table(200), tmp_path / "in.parquet")
    for on_bad in ("quarantine", "fail"):
        summary = run(source, tmp_path / "out.parquet", linear, mild, on_bad=on_bad, chunk_rows=30)
        assert (summary.rows, summary.bad_rows) == (200, 100)
    aside = read(Path(f"{tmp_path}/out.parquet.quarantine.csv"))
    assert "none of the 2 values seen" in aside["reasons"][0]
    frame = table(200).with_columns(x=pl.when(pl.int_range(200) == 7).then(-1.0).otherwise("x"))
    with pytest.raises(ContractViolated, match="1 of the first"):
        run(write(frame, source), tmp_path / "out.parquet", linear, mild, max_bad_share=0.0)


def test_the_model_sees_what_is_imputed(tmp_path: Path, linear: Scorer, contract: Contract) -> None:
    """And the output and its kept inputs have what came."""
    columns = [
        msgspec.structs.replace(column, missing=Policy.IMPUTE, fill=40.0, out_of_range=Policy.CLIP)
        if column.name == "x"
        else column
        for column in contract.columns
    ]
    kind = msgspec.structs.replace(contract, columns=tuple(columns))
    x = pl.Series("x", [1.0, None, -5.0, 2e6])
    source = write(table(4).with_columns(x), tmp_path / "in.parquet")
    summary = run(source, tmp_path / "out.parquet", linear, kind, keep_inputs=True)
    made = read(tmp_path / "out.parquet")
    assert made["score"].to_list() == [0.001, 0.04, 0.0, 1000.0]
    assert made["x"].to_list() == x.to_list()
    assert summary.warnings["contract.null"] == 1
    assert summary.warnings["contract.out-of-range"] == 2
