"""Files that are missing, damaged, or something else than their name says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import polars as pl
import pytest
from tests.acceptance.conftest import refusal_of, tree
from tests.projects import Project


def cut(path: Path, share: float = 0.5) -> None:
    """Cut the file short, as a full disk or a broken transfer does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def as_folder(path: Path) -> None:
    """Put a folder in the place of the file."""
    path.unlink()
    path.mkdir()


BAD_TABLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "there is no file at"),
    "folder": (as_folder, "there is no parquet"),
    "empty": (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    "truncated": (cut, "cannot be read"),
    "garbage": (lambda path: path.write_bytes(b"\x00\x01\x02" * 99), "does not hold parquet"),
    "workbook": (lambda path: path.write_bytes(b"PK\x03\x04 and so on"), "zip archive"),
    "no rows": (lambda path: pl.read_parquet(path).head(0).write_parquet(path), "no rows"),
}


@pytest.mark.parametrize("fault", BAD_TABLES)
@pytest.mark.parametrize(
    "words",
    [
        ("contract", "infer", "--force"),
        ("contract", "infer", "--force", "--data", "train.parquet"),
        ("contract", "validate", "train.parquet"),
        ("pack", "model.joblib", "--trust-pickle"),
        ("init", "--force", "--data", "train.parquet"),
    ],
    ids=lambda words: " ".join(words[:2]) + (" --data" if words[-2] == "--data" else ""),
)
def test_a_table_that_is_none_is_refused(
    project: Project, words: tuple[str, ...], fault: str
) -> None:
    """Whichever command reads it, it says which file and what is the matter, and writes nothing."""
    spoil, says = BAD_TABLES[fault]
    spoil(project.folder / "train.parquet")
    error = refusal_of(project, *words, says=("train.parquet", says))
    assert error["code"] == "data.unreadable"


@pytest.mark.parametrize("fault", BAD_TABLES)
def test_a_live_project_takes_no_such_table_either(live: Project, fault: str) -> None:
    """Gate, score, predict and labels refuse it alike; no score file is begun."""
    spoil, says = BAD_TABLES[fault]
    spoil(live.folder / "test.parquet")
    for words in (
        ("gate",),
        ("gate", "--data", "test.parquet"),
        ("score", "test.parquet", "scores.parquet"),
        ("labels", "add", "test.parquet"),
        ("predict", "test.parquet", "--url", "http://127.0.0.1:9"),
    ):
        error = refusal_of(live, *words, says=("test.parquet", says))
        assert error["code"] == "data.unreadable"


BAD_CSVS: dict[str, tuple[str | bytes, str]] = {
    "index": (",age,fee\n0,1,2\n", "did pandas write its index?"),
    "twice": ("age,age,fee\n1,2,3\n", "'age' stands twice"),
    "ragged": ("age,fee\n1,2\n1,2,3,4\n", "cannot be read"),
    "json": ('[{"age": 1}]\n', "looks like JSON"),
    "latin": ("age,city\n1,K\xf6ln\n".encode("latin-1"), "UTF-8"),
    "utf-16": ("age,fee\n1,2\n".encode("utf-16"), "UTF-16"),
    "pickle": (b"\x80\x05\x95 and so on", "pickle"),
    "header only": ("age,fee,city,churned\n", "no rows"),
    "binary": (b"age\x00fee\n\x00\x01", "binary"),
}


@pytest.mark.parametrize("fault", BAD_CSVS)
def test_a_csv_that_is_none_is_refused(project: Project, fault: str) -> None:
    """What a spreadsheet, pandas or a wrong encoding made of it is named."""
    text, says = BAD_CSVS[fault]
    content = text if isinstance(text, bytes) else text.encode()
    (project.folder / "new.csv").write_bytes(content)
    error = refusal_of(project, "contract", "validate", "new.csv", says=("new.csv", says))
    assert error["code"] == "data.unreadable"


def test_a_target_with_one_class_is_refused(project: Project) -> None:
    """Nothing is learned from one class: inferring, packing and starting say so."""
    table = pl.read_parquet(project.folder / "train.parquet")
    table.with_columns(churned=pl.lit(1)).write_parquet(project.folder / "train.parquet")
    for words in (
        ("contract", "infer", "--force"),
        ("init", "--data", "train.parquet", "--target", "churned", "--force"),
    ):
        refusal_of(project, *words, says=("churned", "1"))


def test_a_test_set_with_one_class_is_refused(live: Project) -> None:
    """The gate says that ROC-AUC has no value there, and leaves no evidence."""
    table = pl.read_parquet(live.folder / "test.parquet").filter(pl.col("churned") == 0)
    table.write_parquet(live.folder / "test.parquet")
    before = live.json("versions")
    done = live.call("gate")
    assert done.code in (2, 3), done.said
    assert "Traceback" not in done.said
    assert "class" in done.said
    if done.code == 2:
        assert live.json("versions") == before


@pytest.mark.parametrize(
    "words", [("contract", "infer", "--force"), ("init", "--force", "--data", "train.parquet")]
)
def test_a_missing_target_is_refused(project: Project, words: tuple[str, ...]) -> None:
    """A table without the target is refused with the columns that it has."""
    table = pl.read_parquet(project.folder / "train.parquet").rename({"churned": "churn_date"})
    table.write_parquet(project.folder / "train.parquet")
    target = () if words[0] == "contract" else ("--target", "churned")
    refusal_of(project, *words, *target, says=("churned",))


def test_a_gate_without_known_outcomes_is_refused(live: Project) -> None:
    """A test table without the target cannot judge anything, and the gate says so."""
    pl.read_parquet(live.folder / "test.parquet").drop("churned").write_parquet(
        live.folder / "test.parquet"
    )
    refusal_of(live, "gate", says=("churned", "test.parquet"))


BAD_CONTRACTS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "no yaml": (lambda text: "version: [1, 2\n", ("contract.yaml",)),
    "empty": (lambda text: "", ("contract.yaml",)),
    "a list": (lambda text: "- a\n- b\n", ("contract.yaml",)),
    "cut": (lambda text: text[: text.index("logicalType") + 9], ("contract.yaml",)),
    "bad type": (
        lambda text: text.replace("logicalType: integer", "logicalType: integr"),
        ("contract.yaml:", "integr", "did you mean 'integer'?"),
    ),
    "alias bomb": (
        lambda text: "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n",
        ("contract.yaml",),
    ),
    "python": (lambda text: "!!python/object/apply:os.system ['true']\n", ("contract.yaml",)),
}


@pytest.mark.parametrize("fault", BAD_CONTRACTS)
def test_a_malformed_contract_is_refused(project: Project, fault: str) -> None:
    """A contract.yaml that says nothing sensible is told of with its place."""
    spoil, says = BAD_CONTRACTS[fault]
    path = project.folder / "contract.yaml"
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    for words in (("contract", "show"), ("pack", "model.joblib", "--trust-pickle")):
        error = refusal_of(project, *words, says=says)
        assert error["code"] == "contract.invalid"


def test_a_contract_that_is_not_there_says_how_to_make_one(project: Project) -> None:
    """Without contract.yaml the next command is named."""
    (project.folder / "contract.yaml").unlink()
    for words in (("contract", "show"), ("pack", "model.joblib", "--trust-pickle")):
        refusal_of(project, *words, says=("contract.yaml", "shipway contract infer"))


def test_contract_and_settings_are_not_utf_8(project: Project) -> None:
    """Bytes that are no text are refused as such."""
    for name, words in (("contract.yaml", ("contract", "show")), ("shipway.toml", ("check",))):
        path = project.folder / name
        kept = path.read_bytes()
        path.write_bytes(b"\xff\xfe\x00 nothing")
        refusal_of(project, *words, says=(name,))
        path.write_bytes(kept)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[model\n", "shipway.toml:1"),
        ("", "target"),
        ('[model]\ntarget = "churned"\ntask = 7\n', "shipway.toml:3"),
        ('[model]\ntarget = "churned"\nname = "../../etc"\n', "shipway.toml:3"),
        ('[[objectives]]\nmetric = "roc_auc"\nat_least = nan\n', "shipway.toml:3"),
    ],
)
def test_settings_that_say_nothing_sensible_are_refused(
    project: Project, text: str, says: str
) -> None:
    """Every command refuses a wrong shipway.toml in the same words."""
    (project.folder / "shipway.toml").write_text(text, encoding="utf-8")
    for words in (("check",), ("gate",), ("status",)):
        error = refusal_of(project, *words, says=(says,))
        assert error["code"] == "config.invalid"


def test_a_folder_without_settings_names_init(tmp_path: Path) -> None:
    """Outside of a project each command says how to begin one."""
    for words in (("check",), ("gate",), ("serve",), ("score", "a.csv", "b.csv"), ("monitor",)):
        refusal_of(Project(tmp_path), *words, says=("shipway.toml", "shipway init"))


@pytest.mark.parametrize(
    ("flag", "says"), [("serve.port=99999", "serve.port"), ("serve.prot=1", "serve.port")]
)
def test_a_setting_on_the_command_line_is_checked_as_well(
    project: Project, flag: str, says: str
) -> None:
    """A wrong --set is refused, and the name that was meant is told."""
    refusal_of(project, "status", "--set", flag, says=(says,))


def test_a_wrong_variable_is_told_by_its_name(project: Project) -> None:
    """A wrong SHIPWAY_ variable is named."""
    done = project.call("check", environ={"SHIPWAY_SERVE__PORT": "many"})
    assert done.code == 2
    assert "SHIPWAY_SERVE__PORT" in done.err


def test_outputs_that_cannot_be_written_leave_nothing(live: Project) -> None:
    """A place that is a file, or in a folder that is not there, is refused before the work."""
    (live.folder / "file").write_text("mine")
    for words in (
        ("score", "test.parquet", "file/scores.parquet"),
        ("score", "test.parquet", "scores.xlsx"),
        ("edge", "file"),
        ("image", "file"),
        ("card", "--out", "file"),
    ):
        before = tree(live.folder)
        done = live.call(*words)
        assert done.code in (2, 4), (words, done.said)
        assert "Traceback" not in done.said
        assert "Next:" in done.err
        assert tree(live.folder) == before


def test_infinity_in_a_table_is_named_by_row(project: Project) -> None:
    """Rows with infinity are told of, each with its column."""
    table = pl.read_parquet(project.folder / "test.parquet")
    table = table.with_columns(
        fee=pl.when(pl.int_range(pl.len()) == 3).then(np.inf).otherwise(pl.col("fee"))
    )
    table.write_parquet(project.folder / "test.parquet")
    done = project.call("contract", "validate", "test.parquet")
    assert done.code == 2
    assert "row 3, column fee" in done.out, done.said


def test_a_model_file_that_is_none_is_refused(project: Project) -> None:
    """Missing, empty, cut, a folder, a text, a table: each is told, and nothing is published."""
    kept = (project.folder / "model.joblib").read_bytes()
    joblib.dump({"no": "model"}, project.folder / "dictionary.joblib")
    cases: dict[str, tuple[bytes | None, str]] = {
        "gone.joblib": (None, "gone.joblib"),
        "empty.onnx": (b"", "empty"),
        "cut.joblib": (kept[: len(kept) // 2], "cut.joblib"),
        "words.txt": (b"hello, world\n", "words.txt"),
        "random.onnx": (b"\x08\x07\xff\xff\xff\xff garbage", "random.onnx"),
        "random.ubj": (b"{L\x00\x00\x00garbage", "random.ubj"),
        "random.skops": (b"PK\x03\x04garbage", "random.skops"),
    }
    for name, (content, says) in cases.items():
        if content is not None:
            (project.folder / name).write_bytes(content)
        error = refusal_of(project, "pack", name, "--trust-pickle", says=(says,))
        assert error["code"] == "model.unreadable", error
    for name in ("dictionary.joblib", "train.parquet", "."):
        error = refusal_of(project, "pack", name, "--trust-pickle")
        assert str(error["code"]).startswith("model."), error
