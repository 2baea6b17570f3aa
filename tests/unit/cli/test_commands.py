"""The list of commands, and what each says of itself."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
from cyclopts import App

from shipway.cli.index import COMMANDS, GROUPS, Command

HEAVY = ("numpy", "scipy", "sklearn", "sqlalchemy", "onnxruntime", "polars", "litestar", "httpx")


def target_of(command: Command) -> Any:
    """The function or the family of commands that *command* stands for."""
    module, _, name = command.target.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_says_the_same_of_itself_as_the_list_does(command: Command) -> None:
    """The summary in the list is the first line of the command's own help."""
    target = target_of(command)
    text = target.help if isinstance(target, App) else target.__doc__
    assert text.splitlines()[0] == command.summary


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_of_each_command_begins_with_an_example(command: Command, shipway: Any) -> None:
    """Help answers with exit code 0, the example first, and every common option."""
    run = shipway(command.name, "--help")
    assert run.code == 0
    assert run.out.startswith(f"Example: shipway {command.name}")
    target = target_of(command)
    for name in target if isinstance(target, App) else ():
        if not name.startswith("-"):
            run = shipway(command.name, name, "--help")
            assert run.out.startswith(f"Example: shipway {command.name} {name}")
    for option in ("--project", "--json", "--debug"):
        assert option in run.out


def test_the_list_shows_every_command_in_its_group(shipway: Any) -> None:
    """Bare `shipway` and `shipway --help` list the same commands."""
    bare, asked = shipway(), shipway("--help")
    assert bare == asked
    for text in (*GROUPS, *(f"  {command.name} " for command in COMMANDS)):
        assert text in asked.out


def test_the_version_is_the_package_version(shipway: Any) -> None:
    """`--version` prints what is installed."""
    assert shipway("--version").out.strip() == importlib.import_module(
        "importlib.metadata"
    ).version("shipway")


def test_help_loads_no_heavy_library() -> None:
    """Whoever asks for help, or mistypes, does not wait for numpy, SQLAlchemy or the like."""
    code = (
        "import sys\n"
        "from shipway.cli.index import COMMANDS\n"
        "from shipway.cli.main import main\n"
        "main([]), main(['--help']), main(['--version']), main(['gat'])\n"
        "for command in COMMANDS: main([command.name, '--help'])\n"
        "print([name for name in sys.argv[1].split(',') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, ",".join(HEAVY)], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_python_m_shipway_is_shipway() -> None:
    """The module runs the command line and hands on its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "shipway", "no-such-command"], capture_output=True, check=False
    )
    assert done.returncode == 2
