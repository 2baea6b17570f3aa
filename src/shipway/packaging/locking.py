"""What a model's server must have installed, exactly: names, versions and digests of wheels.

The versions are those of the environment that is running, which is the one the model was packed
and tried in; nothing is resolved anew. Fetching is pip's work, with the user's own settings.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from shipway.domain.digests import digest_of_file
from shipway.errors import EnvironmentFailure, MissingPackage, ToolMissing

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
"""Runs a program to its end, with its output captured as text."""

Find = Callable[[str], Distribution]
"""Finds an installed distribution by name, or raises ``PackageNotFoundError``."""

_REPORTED_LINES = 12


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One distribution at one version; ``name`` is in its normal form."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def run_program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run *command* (never through a shell) and give its exit code and output.

    Raises :class:`~shipway.errors.ToolMissing` when there is no such program.
    """
    try:
        return subprocess.run(list(command), capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise ToolMissing(
            f"the program {command[0]!r} is not on the PATH",
            next_step=f"install {command[0]}, or choose another tool",
        ) from missing


def installed_closure(
    root: str, extras: Sequence[str], *, find: Find = distribution
) -> tuple[Pin, ...]:
    """Everything that *root* with *extras* needs in this environment, sorted, without *root*.

    Requirements are followed through the installed metadata; a marker that is false here is
    left out, so the result holds for this Python and this platform. Raises
    :class:`~shipway.errors.MissingPackage` for a requirement that is not installed.
    """
    pins: dict[str, Pin] = {}
    root_name = canonicalize_name(root)
    seen: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str]] = [(root_name, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found = _find(name, find, root)
        if name != root_name:
            pins[name] = Pin(name, found.version)
        waiting += _requirements(found, extra)
    return tuple(sorted(pins.values()))


def _find(name: str, find: Find, root: str) -> Distribution:
    try:
        return find(name)
    except PackageNotFoundError as missing:
        raise MissingPackage(
            f"the package {name!r} is not installed here, and {root} needs it in the image",
            next_step=f'pip install "{name}", or install {root} anew with its extras',
        ) from missing


def _requirements(found: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """What *found* needs for *extra* ("" for itself): pairs of normal name and extra."""
    for text in found.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None:
            wanted = extra == ""
        else:
            wanted = marker.evaluate({"extra": extra}) and (
                extra == "" or not marker.evaluate({"extra": ""})
            )
        if wanted:
            name = canonicalize_name(requirement.name)
            yield name, ""
            yield from ((name, wanted_extra) for wanted_extra in requirement.extras)


def fetch_wheels(
    pins: Sequence[Pin], folder: Path, *, wheelhouse: Path | None, run: Run = run_program
) -> None:
    """Put one wheel of each of *pins* into *folder*, from *wheelhouse* alone if there is one.

    Raises :class:`~shipway.errors.EnvironmentFailure` with pip's last lines when one cannot be
    had as a wheel for this Python and platform.
    """
    offline = ["--no-index", "--find-links", str(wheelhouse)] if wheelhouse is not None else []
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--no-deps", "--dest", str(folder), *offline]
    done = run([*command, *(str(pin) for pin in pins)])
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-_REPORTED_LINES:]
        source = f"in {wheelhouse}" if wheelhouse is not None else "from the package registry"
        raise EnvironmentFailure(
            f"not every wheel could be had {source}: " + " | ".join(lines),
            next_step="check the connection and pip's settings, or fill a folder with "
            "`pip download` elsewhere and pass it as the wheelhouse",
        )


def locked_requirements(folder: Path) -> str:
    """A requirements file that pins each wheel in *folder* by version and SHA-256, sorted.

    Raises :class:`~shipway.errors.EnvironmentFailure` for a file that is not a wheel.
    """
    lines = []
    for wheel in sorted(folder.iterdir()):
        try:
            name, version, _, _ = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename as wrong:
            raise EnvironmentFailure(
                f"{wheel.name} in the wheelhouse is not a wheel",
                next_step="leave only wheels there: an image is built without a compiler",
            ) from wrong
        lines.append(f"{name}=={version} --hash={digest_of_file(wheel)}\n")
    return "".join(sorted(lines))
