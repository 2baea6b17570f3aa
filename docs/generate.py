"""Writes the reference pages that follow from the code, or with ``--check`` says which are stale.

Each page is a pure function of what the package declares, so two runs give the same bytes on any
machine and in any terminal.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cyclopts import App
from rich.console import Console

from shipway import errors
from shipway.cli import failures
from shipway.cli.index import COMMANDS, GROUPS, Command
from shipway.cli.main import build_app
from shipway.config.schema import REPEATED, SECTIONS, reference, section_meaning
from shipway.contract.violations import MEANINGS, NULL, OUT_OF_RANGE, PATTERN, UNSEEN
from shipway.domain.metrics import METRICS, Metric
from shipway.serving.statuses import STATUS

REFERENCE = Path(__file__).parent / "reference"
WIDTH = 100
_COMMON = "Common options:"


def commands() -> str:
    """Every command with its help, grouped as in ``shipway --help``."""
    parts = [
        _title(
            "Commands",
            "Each command takes the common options, prints answers on stdout and everything else"
            " on stderr, and ends with the next command to type. Its exit code is one of"
            " [these](errors.md#exit-codes).",
        ),
        "## Common options",
        _text_block(_common_options()),
    ]
    for group in GROUPS:
        parts.append(f"## {group}")
        for command in COMMANDS:
            if command.group == group:
                parts += _command(command)
    return _page(parts)


def settings() -> str:
    """Every setting of ``shipway.toml``, with its variable, its limits and its default."""
    parts = [
        _title(
            "Settings",
            "What `shipway.toml` may say. A flag wins over a variable, a variable over the file,"
            " the file over the default; `shipway check` shows where each value comes from."
            " `SHIPWAY_HOME` is a shorter name of `SHIPWAY_STORE__HOME`. Any setting but an"
            " objective can be given to one command with `--set section.key=value`.",
        )
    ]
    rows = reference()
    for section in SECTIONS:
        heading = f"[[{section}]]" if section == REPEATED else f"[{section}]"
        parts += [f"## `{heading}`", section_meaning(section)]
        cells = (
            (
                f"`{row.key}`",
                row.meaning,
                row.allowed,
                "**needed**" if row.required else row.default or "-",
                f"`{row.variable}`" if row.variable else "-",
            )
            for row in rows
            if row.section == section
        )
        parts.append(_table(("Key", "Meaning", "Allowed", "Default", "Variable"), cells))
    return _page(parts)


def metrics() -> str:
    """The catalogue of metrics."""
    introduction = (
        "What an objective may measure. A metric has this name in `shipway.toml`, in tables and"
        " reports, in JSON and in alerts. Metrics of the traffic are measured on live requests"
        " alone, so a gate leaves them out."
    )
    cells = ((*_metric(metric),) for metric in METRICS.values())
    return _page(
        [
            _title("Metrics", introduction),
            _table(("Metric", "Meaning", "Tasks", "Better", "Unit", "From"), cells),
        ]
    )


def error_codes() -> str:
    """Exit codes, and every error with its code, exit code and HTTP status."""
    exits = [
        line.split(maxsplit=1)
        for line in (failures.__doc__ or "").splitlines()
        if line[:1].isdigit()
    ]
    cells = (
        (f"`{kind.__name__}`", f"`{kind.code}`", _summary(kind), str(_exit(kind)), str(_http(kind)))
        for kind in _tree(errors.ShipwayError)
    )
    introduction = (
        "An error says what happened, with which value, and what to do next. Its code is stable;"
        " its words may improve."
    )
    return _page(
        [
            _title("Errors and exit codes", introduction),
            "## Exit codes",
            _table(("Code", "Meaning"), ((f"`{code}`", meaning) for code, meaning in exits)),
            "## Errors",
            'With `--json` an error is one document on stdout: `{"error": {"code", "message",'
            ' "next_step", "exit_code", "problems"}}`. Over HTTP it is'
            ' `{"error", "code", "next", "problems"}`.',
            _table(("Error", "Code", "When", "Exit", "HTTP"), cells),
        ]
    )


def contract_codes() -> str:
    """The codes of broken promises about data."""
    introduction = (
        "What can be wrong with a row or a table, the same in `shipway contract validate`, in the"
        " server's answers and in the quarantine of `shipway score`. What happens to the row is"
        " for `contract.yaml` to say where more than one policy is told here; the first of them"
        " holds where it says nothing. [How](../howto/contract.md)."
    )
    named = ("warn", "reject", "quarantine", "impute")
    policies = {
        NULL: ("reject", "quarantine", "impute"),
        OUT_OF_RANGE: (*named, "clip"),
        UNSEEN: named,
        PATTERN: named,
    }
    cells = (
        (f"`{code}`", rule, meaning, ", ".join(policies.get(code, ("reject",))))
        for code, (rule, meaning) in MEANINGS.items()
    )
    return _page(
        [
            _title("Codes of the contract", introduction),
            _table(("Code", "Rule", "Meaning", "Policies"), cells),
        ]
    )


PAGES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "commands.md": commands,
        "settings.md": settings,
        "metrics.md": metrics,
        "errors.md": error_codes,
        "contract-codes.md": contract_codes,
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when one is stale"
    )
    parser.add_argument("--folder", type=Path, default=REFERENCE, help="where the pages are")
    options = parser.parse_args(arguments)
    made = {options.folder / name: page() for name, page in PAGES.items()}
    stale = [path for path, text in made.items() if _read(path) != text]
    if not options.check:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        return 0
    for path in stale:
        sys.stderr.write(f"{path.name} is stale: run `python docs/generate.py` and commit it\n")
    return 1 if stale else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


# ---- commands ---------------------------------------------------------------------------------


def _command(command: Command) -> Iterator[str]:
    """The section of one command, and of each command of its family."""
    app = build_app(command.name)
    yield f"### shipway {command.name}"
    if not command.target.endswith(":app"):
        yield _text_block(_help(app, command.name))
        return
    yield command.summary
    for name in _family(command):
        yield f"#### shipway {command.name} {name}"
        yield _text_block(_help(app, command.name, name))


def _family(command: Command) -> list[str]:
    module, _, attribute = command.target.partition(":")
    family: App = getattr(importlib.import_module(module), attribute)
    return [name for name in family if not name.startswith("-")]


def _help(app: App, *words: str) -> str:
    """The help of one command without the options that all have."""
    return _rendered(app, *words).partition(_COMMON)[0].strip()


def _common_options() -> str:
    shown = _rendered(build_app("check"), "check")
    return shown.partition(_COMMON)[2].strip("\n")


def _rendered(app: App, *words: str) -> str:
    written = io.StringIO()
    console = Console(file=written, width=WIDTH, color_system=None, force_terminal=False)
    app.help_print(list(words), console=console)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


# ---- errors and metrics -----------------------------------------------------------------------


def _tree(kind: type[errors.ShipwayError]) -> Iterator[type[errors.ShipwayError]]:
    """*kind* and what is below it, as ``errors`` lists them."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _tree(below)


def _summary(kind: type) -> str:
    first = (inspect.getdoc(kind) or "").split("\n\n")[0]
    return " ".join(first.split()).replace("``", "`")


def _exit(kind: type[errors.ShipwayError]) -> int:
    return next(failures.EXIT_CODES[each] for each in kind.__mro__ if each in failures.EXIT_CODES)


def _http(kind: type[errors.ShipwayError]) -> int:
    return next((STATUS[each] for each in kind.__mro__ if each in STATUS), 500)


def _metric(metric: Metric) -> tuple[str, ...]:
    tasks = ", ".join(task.value.removesuffix("-classification") for task in metric.tasks)
    return (
        f"`{metric.name}`",
        metric.meaning,
        tasks,
        metric.better.value,
        metric.unit or "-",
        metric.source.value,
    )


# ---- markdown ---------------------------------------------------------------------------------


def _title(title: str, introduction: str) -> str:
    notice = "<!-- Made by docs/generate.py from the code: edit there, not here. -->"
    return f"{notice}\n# {title}\n\n{introduction}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _text_block(text: str) -> str:
    return f"```text\n{text}\n```"


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
