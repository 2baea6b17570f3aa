"""The one table from error to exit code, and how an error is told.

0    done, or the verdict is pass
1    the verdict is fail
2    the request or its input is wrong
3    the verdict is undecided
4    the machine, a server or the store is in the way
70   Shipway itself is at fault (EX_SOFTWARE of sysexits.h)
130  interrupted from the keyboard
"""

from __future__ import annotations

import difflib
import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from cyclopts import CycloptsError, UnknownCommandError, UnusedCliTokensError

from shipway.cli.index import COMMANDS
from shipway.cli.visible import visible
from shipway.errors import (
    AccessError,
    ConflictError,
    DataError,
    EnvironmentFailure,
    GateRefused,
    IntegrityError,
    LimitError,
    MissingPackage,
    ModelError,
    NotFoundError,
    ShipwayError,
    TooLarge,
    UsageError,
)

if TYPE_CHECKING:
    from shipway.cli.output import Output

PASSED, FAILED, WRONG_INPUT, UNDECIDED, ENVIRONMENT = range(5)
OUR_FAULT = 70
INTERRUPTED = 130
PIPE_CLOSED = 141

EXIT_CODES: Mapping[type[ShipwayError], int] = MappingProxyType(
    {
        GateRefused: FAILED,
        UsageError: WRONG_INPUT,
        DataError: WRONG_INPUT,
        ModelError: WRONG_INPUT,
        NotFoundError: WRONG_INPUT,
        ConflictError: WRONG_INPUT,
        AccessError: WRONG_INPUT,
        TooLarge: WRONG_INPUT,
        LimitError: ENVIRONMENT,
        IntegrityError: ENVIRONMENT,
        EnvironmentFailure: ENVIRONMENT,
        ShipwayError: OUR_FAULT,
    }
)
"""Exit codes by class; the nearest ancestor in the tree of errors counts."""

VERDICT_CODES: Mapping[str, int] = MappingProxyType(
    {"pass": PASSED, "fail": FAILED, "undecided": UNDECIDED}
)
"""Exit codes by verdict."""


def exit_code_of(error: ShipwayError) -> int:
    """The exit code for *error*."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def tell(error: Exception, output: Output, *, debug: bool = False) -> int:
    """Say what went wrong and what to do next; returns the exit code.

    What nobody foresaw is a fault of Shipway: its traceback goes to a file, or with *debug* to
    stderr.
    """
    foreseen = _foreseen(error)
    if foreseen is None or (debug and isinstance(error, OSError | ImportError | MemoryError)):
        return _tell_fault(error, output, debug=debug)
    code = exit_code_of(foreseen)
    if output.as_json:
        output.document({"error": _document(foreseen, code)})
        return code
    output.say(f"{type(foreseen).__name__} [{foreseen.code}] {foreseen.message}", style="red")
    for problem in foreseen.problems:
        output.say(f"  - {problem}")
    output.say(f"Next: {foreseen.next_step}", style="bold")
    return code


def _foreseen(error: Exception) -> ShipwayError | None:
    """*error* in the product's own form, None if it is a fault of Shipway."""
    match error:
        case ShipwayError():
            return error
        case CycloptsError():
            return _usage_error(error)
        case MemoryError():
            return EnvironmentFailure(
                "there is not enough memory", next_step="give less data at once, or more memory"
            )
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] != "shipway":
            return MissingPackage(
                f"the package {name.partition('.')[0]!r} is not installed",
                next_step='install what the command needs: pip install "shipway[all]"',
            )
        case OSError():
            return _system_error(error)
        case _:
            return None


def _system_error(error: OSError) -> EnvironmentFailure:
    """What the system refused, and of which file."""
    place = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return EnvironmentFailure(
            f"a disk is full: {error.strerror}{place}",
            next_step="free some space (see `df -h`), where temporary files go too, and try again",
        )
    return EnvironmentFailure(
        f"the system refused: {error.strerror or error}{place}",
        next_step="check that the disk has room and the files may be read and written",
    )


def _usage_error(error: CycloptsError) -> UsageError:
    """The mistake in the command line; a command is looked for without importing any."""
    chain = tuple(error.command_chain or ())
    if isinstance(error, UnknownCommandError) and not chain and error.unused_tokens:
        word = str(error.unused_tokens[0])
        near = difflib.get_close_matches(word, [command.name for command in COMMANDS], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        what = "option" if word.startswith("-") else "command"
        return UsageError(f"there is no {what} {word!r}{hint}", next_step="see `shipway --help`")
    message = " ".join(str(error).split())
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        message = f"nothing takes the argument {error.unused_tokens[0]!r}"
    command = " ".join(["shipway", *chain])
    return UsageError(message[:1].lower() + message[1:], next_step=f"see `{command} --help`")


def _tell_fault(error: Exception, output: Output, *, debug: bool) -> int:
    """Own up to a fault of Shipway: a short message, and the traceback in a file or on stderr."""
    trace = "".join(traceback.format_exception(error))
    kind = type(error).__name__
    if debug:
        sys.stderr.write(visible(trace))
        where = "the traceback is above"
    else:
        handle, path = tempfile.mkstemp(prefix="shipway-crash-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(trace)
        where = f"the traceback is in {path}"
    summary = f"this is a fault of Shipway: {kind}: {error}"
    next_step = f"report it ({where})"
    if output.as_json:
        document = {"code": "shipway.fault", "message": summary, "next_step": next_step}
        output.document({"error": {**document, "exit_code": OUR_FAULT, "problems": []}})
    else:
        output.say(f"Fault [shipway.fault] {summary}", style="red")
        output.say(f"Next: {next_step}", style="bold")
    return OUR_FAULT


def _document(error: ShipwayError, code: int) -> dict[str, object]:
    return {
        "code": error.code,
        "message": error.message,
        "next_step": error.next_step,
        "exit_code": code,
        "problems": error.problems,
    }
