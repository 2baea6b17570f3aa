"""The entry point: finds the command, runs it, prints its result, and tells of failures."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, Group, Parameter

from shipway.cli import failures
from shipway.cli.help import HelpLayout
from shipway.cli.index import COMMANDS, GROUPS
from shipway.cli.options import wants
from shipway.cli.output import Output, Result

_EXAMPLE = "Example: shipway demo --fast"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line *arguments* (by default of this process); returns the exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    output = Output(as_json=wants("--json", tokens))
    try:
        code = _run(tokens, output)
        sys.stdout.flush()
    except BrokenPipeError:
        code = failures.PIPE_CLOSED
    except OSError as error:
        code = failures.tell(error, Output())
    else:
        return code
    # Nobody takes what stdout still holds; it must not be flushed there at the end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _prepare_streams() -> None:
    """See that all three streams are there, and that they can write whatever a name holds."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the process
            setattr(sys, name, Path(os.devnull).open("r+", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def build_app(requested: str = "") -> App:
    """The command line. The command *requested* tells of itself, the others by their summary."""
    app = App(
        name="shipway",
        help="Takes a trained model to production and keeps it healthy.",
        help_prologue=_EXAMPLE,
        help_format="plaintext",
        help_formatter=HelpLayout(),
        version=_version,
        # `gate --version 2` must not print Shipway's version and end like a passed gate.
        version_flags=() if requested else ("--version",),
        default_parameter=Parameter(negative=()),
        suppress_keyboard_interrupt=False,
    )
    options = Group("Options", sort_key=100)
    for flag in (*app.help_flags, *app.version_flags):
        app[flag].group = options
    groups = {name: Group(name, sort_key=place) for place, name in enumerate(GROUPS)}
    for place, command in enumerate(COMMANDS):
        family: dict[str, Any] = {}
        if not command.target.endswith(":app"):
            family["help_prologue"] = f"Example: {command.example}"
        app.command(
            command.target,
            name=command.name,
            group=groups[command.group],
            sort_key=place,
            help=None if command.name == requested else command.summary,
            **family,
        )
    return app


def _run(tokens: list[str], output: Output) -> int:
    try:
        app = build_app(next((token for token in tokens if not token.startswith("-")), ""))
        result = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        if isinstance(result, Result):
            return output.finish(result)
        return result if isinstance(result, int) else failures.PASSED
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        output.say("Interrupted.")
        return failures.INTERRUPTED
    except Exception as error:
        # One of the outermost loops: whatever arrives here is told, never shown as a traceback.
        return failures.tell(error, output, debug=wants("--debug", tokens))


def _version() -> str:
    from importlib.metadata import version

    return version("shipway")
