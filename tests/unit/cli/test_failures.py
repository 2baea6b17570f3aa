"""From error to exit code, and how errors are told."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from shipway import errors
from shipway.cli import failures
from shipway.cli.output import Output
from shipway.errors import (
    ConfigError,
    DigestMismatch,
    GateRefused,
    MissingPackage,
    NotAuthenticated,
    Overloaded,
    PickleRefused,
    PortInUse,
    Problem,
    ShipwayError,
    TooLarge,
    UnreadableTable,
)


def every_error() -> list[type[ShipwayError]]:
    """The whole tree."""
    known = [getattr(errors, name) for name in dir(errors)]
    return [kind for kind in known if isinstance(kind, type) and issubclass(kind, ShipwayError)]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code(kind: type[ShipwayError]) -> None:
    """No class of the tree is left without a documented code."""
    assert failures.exit_code_of(kind("x", next_step="y")) in {1, 2, 4, 70}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (GateRefused, 1),
        (ConfigError, 2),
        (UnreadableTable, 2),
        (PickleRefused, 2),
        (NotAuthenticated, 2),
        (TooLarge, 2),
        (DigestMismatch, 4),
        (Overloaded, 4),
        (MissingPackage, 4),
        (PortInUse, 4),
    ],
)
def test_the_exit_code_tells_who_must_act(kind: type[ShipwayError], code: int) -> None:
    """1 is a verdict, 2 is the input, 4 is the machine."""
    assert failures.exit_code_of(kind("x", next_step="y")) == code


def test_a_person_reads_what_happened_and_what_to_do(capsys: Any) -> None:
    """Message, code, every problem and the next step go to stderr; stdout stays empty."""
    error = ConfigError("two", next_step="mend", problems=[Problem("a.b", "bad", "f:1", "good")])
    assert failures.tell(error, Output()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "ConfigError [config.invalid] two",
        "  - f:1: bad (good) [a.b]",
        "Next: mend",
    ]


def test_a_program_reads_one_document(capsys: Any) -> None:
    """With --json the failure is one JSON document on stdout and nothing is on stderr."""
    error = ConfigError("two", next_step="mend", problems=[Problem("a.b", "bad", "f:1")])
    assert failures.tell(error, Output(as_json=True)) == 2
    told = capsys.readouterr()
    assert told.err == ""
    assert json.loads(told.out)["error"] == {
        "code": "config.invalid",
        "message": "two",
        "next_step": "mend",
        "exit_code": 2,
        "problems": [{"code": "a.b", "message": "bad", "where": "f:1", "hint": ""}],
    }


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/store/x"),
        PermissionError(errno.EACCES, "Permission denied"),
        MemoryError(),
        ModuleNotFoundError("No module named 'skops'", name="skops"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_machine_is_named_when_it_refuses(error: Exception, capsys: Any) -> None:
    """A full disk or a missing package is no crash: exit 4 and a next step."""
    assert failures.tell(error, Output()) == 4
    assert "Next: " in capsys.readouterr().err


@pytest.fixture
def crash_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tracebacks are written."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def fault() -> Exception:
    """An error that nobody foresaw, with its traceback."""
    try:
        raise KeyError("a\x1b[31mb")
    except KeyError as error:
        return error


def test_a_fault_of_ours_shows_no_traceback(crash_folder: Path, capsys: Any) -> None:
    """The traceback is in a file for the report; the person sees two lines and exit 70."""
    assert failures.tell(fault(), Output()) == 70
    told = capsys.readouterr()
    (written,) = crash_folder.iterdir()
    assert "Traceback" in written.read_text()
    assert written.stat().st_mode & 0o077 == 0
    assert "Traceback" not in told.err
    assert str(written) in told.err


def test_debug_shows_the_traceback(crash_folder: Path, capsys: Any) -> None:
    """With --debug the traceback is on stderr, and no control byte is in it."""
    assert failures.tell(fault(), Output(), debug=True) == 70
    told = capsys.readouterr()
    assert "Traceback" in told.err
    assert "\x1b" not in told.err
    assert not list(crash_folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gat"], "did you mean gate?"),
        (["gate", "--jsn"], "--json"),
        (["gate", "--seed", "many"], "many"),
        (["pack"], "MODEL"),
        (["contract", "infr"], "infer"),
        (["versions", "extra"], "extra"),
    ],
)
def test_a_mistyped_command_line_is_told_like_any_error(
    arguments: list[str], message: str, shipway: Any
) -> None:
    """Usage errors have the same form, the same code, and name the help to read."""
    run = shipway(*arguments)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("UsageError [usage.invalid]")
    assert message in run.err
    assert "--help" in run.err.splitlines()[-1]
    told = json.loads(shipway(*arguments, "--json").out)
    assert told["error"]["code"] == "usage.invalid"


def test_broken_settings_are_told_at_once(shipway: Any, tmp_path: Path) -> None:
    """Every mistake of shipway.toml comes with its line, and the exit code is 2."""
    (tmp_path / "shipway.toml").write_text("[model]\nname = x\ntsk = 1\n[sever]\n")
    run = shipway("check", "--project", str(tmp_path))
    assert run.code == 2
    for place in ("shipway.toml:2", "shipway.toml:3", "shipway.toml:4"):
        assert place in run.err


def test_an_interrupt_is_no_error(shipway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with exit 130 and one line."""
    from shipway.cli import doctor

    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "doctor", interrupted)
    run = shipway("doctor")
    assert (run.code, run.err) == (130, "Interrupted.\n")
