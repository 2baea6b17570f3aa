"""The options that every command has, and what they open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from shipway.cli.output import Output
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.api.project import Addresses, Project

COMMON_GROUP = Group("Common options", sort_key=90)

DryRun = Annotated[bool, Parameter(help="Show what would be done, and do nothing.")]


@Parameter(name="*", group=COMMON_GROUP)
@dataclass(frozen=True)
class Options:
    """The options of every command."""

    project: Annotated[
        Path, Parameter(name=["--project", "-p"], help="The folder that holds shipway.toml.")
    ] = Path()
    set: Annotated[
        tuple[str, ...],
        Parameter(help="A setting for this run alone, as in serve.port=9000; may be repeated."),
    ] = ()
    json: Annotated[
        bool, Parameter(help="Print one JSON document on stdout and nothing else there.")
    ] = False
    debug: Annotated[bool, Parameter(help="Print the traceback if Shipway itself fails.")] = False

    def output(self) -> Output:
        """Where the command prints."""
        return Output(as_json=self.json)

    def open(self, **flags: object) -> Project:
        """The project; *flags* are settings with ``__`` for the dot, and None is not said.

        Raises ``ConfigError`` with every problem of the settings.
        """
        from shipway.api.project import open_project

        said = {
            name.replace("__", "."): _text(value)
            for name, value in flags.items()
            if value is not None
        }
        return open_project(self.project, flags={**self._settings(), **said})

    def addresses(self) -> Addresses:
        """Where parts of a store are that are not in its folder; there need not be a project."""
        from shipway.api.project import store_addresses

        return store_addresses(self.project, flags=self._settings())

    def _settings(self) -> dict[str, str]:
        parted = [setting.partition("=") for setting in self.set]
        wrong = [name for name, equals, _ in parted if not equals]
        if wrong:
            raise UsageError(
                f"--set {wrong[0]} has no value", next_step="write --set serve.port=9000"
            )
        return {name.strip(): value for name, _, value in parted}


NO_OPTIONS = Options()


def wants(flag: str, tokens: list[str]) -> bool:
    """Whether *tokens* hold *flag*, for when they cannot be parsed as a whole."""
    options = tokens[: tokens.index("--")] if "--" in tokens else tokens
    return flag in options


def moment_of(text: str | None, option: str) -> datetime | None:
    """The moment that *text* names (RFC 3339, UTC where it says nothing); None for None."""
    from shipway.domain.times import from_iso

    if text is None:
        return None
    try:
        return from_iso(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is not a time",
            next_step=f"write a day or a moment: {option} 2013-04-01 or 2013-04-01T12:00:00Z",
        ) from error


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
