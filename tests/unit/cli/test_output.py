"""What is printed, where, and in which form."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from shipway.cli.options import Options
from shipway.cli.output import Output, Result
from shipway.cli.progress import TerminalProgress
from shipway.cli.visible import moment, number, one_line, size, visible
from shipway.domain.progress import SILENT
from shipway.errors import UsageError


class Answer(msgspec.Struct):
    """An answer of the api."""

    path: Path
    at: datetime
    value: Any


ANSWER = Answer(Path("a/b"), datetime(2013, 4, 1, tzinfo=UTC), np.float64(0.5))


def result(**changed: Any) -> Result:
    """A result that prints a table and a line."""

    def show(output: Output) -> None:
        output.table(["Name", "Verdict"], [("x\x1b]0;owned\x07", "pass"), ("[red]y[/red]", 1)])
        output.line("done \x9b2J")
        output.say("a message")

    return Result(**{"document": ANSWER, "show": show, "next_step": "shipway gate", **changed})


def test_answers_and_messages_go_apart(capsys: Any) -> None:
    """Tables and lines are on stdout, messages and the next command on stderr."""
    assert Output().finish(result(exit_code=3)) == 3
    told = capsys.readouterr()
    assert "Name" in told.out
    assert "done" in told.out
    assert told.err == "a message\nNext: shipway gate\n"


def test_data_cannot_command_the_terminal(capsys: Any) -> None:
    """Escape sequences are shown, not sent, and markup in data is text."""
    Output().finish(result())
    told = capsys.readouterr()
    assert r"x\x1b]0;owned\x07" in told.out
    assert r"done \x9b2J" in told.out
    assert "[red]y[/red]" in told.out
    assert not [c for c in told.out + told.err if unicodedata.category(c) == "Cc" and c != "\n"]


def test_json_is_alone_on_stdout(capsys: Any) -> None:
    """With --json there is one document on stdout and nothing on stderr."""
    output = Output(as_json=True)
    assert output.progress is SILENT
    output.finish(result())
    told = capsys.readouterr()
    assert told.err == ""
    assert json.loads(told.out) == {"path": "a/b", "at": "2013-04-01T00:00:00Z", "value": 0.5}


def test_nan_and_control_bytes_are_sound_json(capsys: Any) -> None:
    """A number that JSON lacks is null, and control bytes are escaped."""
    Output(as_json=True).document({"nan": float("nan"), "text": "\x1b", "list": np.arange(2)})
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert json.loads(told) == {"nan": None, "text": "\x1b", "list": [0, 1]}


def test_a_pipe_gets_whole_lines(capsys: Any) -> None:
    """Without a terminal a long line is not broken, so that programs can read it."""
    Output().line("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1


@given(st.text())
def test_visible_text_has_no_hidden_character(text: str) -> None:
    """Whatever comes in, only printable characters, line breaks and tabs go out."""
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert all(c in "\n\t" or unicodedata.category(c) not in hidden for c in visible(text))
    assert "\n" not in one_line(text)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(None), "-"),
        (number(1234567), "1,234,567"),
        (number(0.123456), "0.1235"),
        (number(float("nan")), "nan"),
        (number(-98765.4), "-98,765"),
        (size(999), "999 B"),
        (size(1_500_000), "1.5 MB"),
        (moment(None), "-"),
        (moment(datetime(2013, 4, 1, tzinfo=UTC)), "2013-04-01 00:00:00"),
    ],
)
def test_figures_are_made_for_reading(shown: str, expected: str) -> None:
    """Thousands are parted, digits are few, and nothing is a dash."""
    assert shown == expected


def test_settings_of_one_run_need_a_value() -> None:
    """--set without = is told how to be written."""
    with pytest.raises(UsageError, match=r"serve\.port"):
        Options(set=("serve.port",)).open()


def test_nobody_watches_a_pipe(capsys: Any) -> None:
    """Without a terminal nothing is drawn."""
    with Output().progress.start("Working", 2, "rows") as task:
        task.advance(2)
    assert capsys.readouterr() == ("", "")


def test_progress_is_drawn_and_taken_away() -> None:
    """In a terminal the bar tells how much is done, for several pieces of work at once."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    progress = TerminalProgress(console)
    with progress.start("First", 10, "rows") as first, progress.start("Second") as second:
        first.advance(4)
        second.advance()
    with progress.start("Third", 1) as third:
        third.advance()
    drawn = stream.getvalue()
    for text in ("First", "4/10 rows", "Second", "Third"):
        assert text in drawn


def test_a_reader_that_goes_away_is_no_verdict() -> None:
    """When nobody reads on, the exit code is that of a closed pipe, never 1."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "shipway", "doctor"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_full_disk_behind_stdout_is_told(options: list[str]) -> None:
    """An answer that cannot be written ends with 4, with a message and without a traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "shipway", "doctor", *options],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 4
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_closed_streams_are_put_up_with() -> None:
    """A process started without stdout does its work."""
    done = subprocess.run(
        [sys.executable, "-m", "shipway", "doctor", "--json"],
        preexec_fn=lambda: os.close(1),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert b"Traceback" not in done.stderr
