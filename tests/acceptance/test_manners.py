"""How the command line behaves towards people, programs and terminals."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.acceptance.conftest import churn
from tests.projects import Project

import shipway
from shipway.cli.index import COMMANDS

HEAVY = ("numpy", "scipy", "sklearn", "sqlalchemy", "onnxruntime", "polars", "pandas", "litestar")
FAMILIES = {
    "contract": ("infer", "validate", "diff", "show"),
    "encryption": ("keygen", "status", "seal", "rotate", "reveal", "pseudonym"),
    "keys": ("create", "list", "revoke"),
    "labels": ("add",),
    "ci": ("init",),
}


def _members(name: str) -> list[tuple[str, ...]]:
    """What follows the name of a command: the members of a family, or nothing."""
    return [(member,) for member in FAMILIES.get(name, ())] or [()]


EVERY: list[tuple[str, ...]] = [
    (command.name, *rest) for command in COMMANDS for rest in _members(command.name)
]
SOURCE = Path(shipway.__file__).parent


@pytest.mark.parametrize(
    "code",
    ["import shipway", "from shipway.cli.main import main; main(['--help'])"],
    ids=["import", "help"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    """`import shipway` and `shipway --help` answer at once: no library of numbers is loaded."""
    asked = f"import sys; {code}; print([n for n in {HEAVY} if n in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_has_help_and_json(words: tuple[str, ...], tmp_path: Path) -> None:
    """Help begins with an example of that very command, and --json is an option of it."""
    done = Project(tmp_path).call(*words, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Example: shipway {' '.join(words)}")
    assert "--json" in done.out
    assert done.err == ""


def advice() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every command line that the source tells people to type, with the file that does."""
    for path in sorted(SOURCE.rglob("*.py")):
        for found in re.findall(r"`shipway ([a-z][^`{]*)`", path.read_text(encoding="utf-8")):
            yield path.name, tuple(found.split())


def test_every_command_that_people_are_told_to_type_exists(tmp_path: Path) -> None:
    """A next step must be one that can be taken: its command and its options are there."""
    known = {command.name for command in COMMANDS}
    helps: dict[tuple[str, ...], str] = {}
    told = list(advice())
    assert len(told) > 30
    wrong = []
    for file, words in told:
        if words[0] not in known:
            wrong.append((file, words))
            continue
        family = FAMILIES.get(words[0], ())
        command = words[:2] if len(words) > 1 and words[1] in family else words[:1]
        if command not in helps:
            helps[command] = Project(tmp_path).call(*command, "--help").out
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if any(f"{option} " not in f"{helps[command]} " for option in options):
            wrong.append((file, words))
        if len(words) > 1 and family and command == words[:1]:
            wrong.append((file, words))
    assert not wrong


HOSTILE = "fee\x1b]0;owned\x07\x1b[31m\u202e\r\n\x9b2J"


def raw_controls(text: str) -> set[str]:
    """The characters of *text* that a terminal would obey or hide."""
    hidden = {"Cc", "Cf", "Zl", "Zp"}
    return {c for c in text if c not in "\n\t" and unicodedata.category(c) in hidden}


def test_hostile_names_and_values_reach_no_terminal(tmp_path: Path) -> None:
    """Escape sequences in columns, values, paths and options are written out, never sent."""
    table = churn(400, seed=5)
    cities = pl.Series([f"Lima\x1b[2J{row % 2}" for row in range(table.height)])
    table = table.with_columns(city=cities).rename({"fee": HOSTILE})
    table.write_parquet(tmp_path / "train.parquet")
    table.with_columns(age=pl.lit("\x1b[5mold")).write_parquet(tmp_path / "bad.parquet")
    project = Project(tmp_path)
    said = []
    for words in (
        ("init", "--data", "train.parquet", "--name", "hostile"),
        ("init", "--data", "\x1b[31mred.parquet", "--force"),
        ("init", "--data", "train.parquet", "--force", "--target", "\x1b[31m\u202etarget"),
        ("contract", "infer"),
        ("contract", "show"),
        ("contract", "validate", "train.parquet"),
        ("contract", "validate", "bad.parquet"),
        ("check",),
        ("check", "--set", "serve.\x1b[31mport=1"),
        ("predict", '{"\x1b[31m": 1}'),
        ("predict", '{"\\u001b[31m": "\\u001b[5m"}'),
        ("pack", "\x1b[31mmodel.joblib"),
        ("promote", "\x1b[31m7"),
        ("\x1b[31mgate",),
        ("gate", "--\x1b[31mseed"),
    ):
        for rest in ((), ("--json",)):
            done = project.call(*words, *rest)
            assert "Fault" not in done.said, done.said
            assert "shipway.fault" not in done.said, done.said
            assert not raw_controls(done.said), (words, done.said)
            said.append(done.said)
    assert any("\\x1b" in text for text in said)


def test_what_is_written_for_people_is_readable_by_others(published: Project) -> None:
    """Settings and contract have the permissions that the umask leaves; the store is private."""
    mode = (published.folder / "contract.yaml").stat().st_mode
    assert mode & 0o400
    store = published.folder / ".shipway"
    assert (store / "metadata.sqlite3").stat().st_mode & 0o077 == 0
    assert store.stat().st_mode & 0o077 == 0
