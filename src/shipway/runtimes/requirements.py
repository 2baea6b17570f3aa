"""The packages that a model's own code needs: each pinned, and exactly what is installed.

A file of requirements may pin as pip does, hashes and comments included; what leaves a version
open, or fetches from anywhere but an index, is refused with its line. What the code imports and
the file does not name is pinned as it is installed here.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from shipway.errors import MissingPackage, ModelFileError, Problem

Pins = dict[str, str]
"""Versions by name; a name may carry extras, ``uvicorn[standard]``."""

_HASH = re.compile(r"\s--hash=\S+")
_COMMENT = re.compile(r"(^|\s)#.*$")
_NOT_PINNED = frozenset({"shipway"})


def read_requirements(text: str, source: str) -> Pins:
    """What *text* (of the file *source*) pins, those lines left out that are not for this machine.

    Raises one :class:`~shipway.errors.ModelFileError` with every line that pins nothing.
    """
    pins: Pins = {}
    problems = []
    for number, line in _lines(text):
        fault = _pin(line, pins)
        if fault:
            problems.append(Problem("model.not-pinned", f"{line!r} {fault}", f"{source}:{number}"))
    if problems:
        raise ModelFileError(
            f"{source} does not pin everything that it names",
            next_step="write each as name==version; `pip freeze` tells the versions installed",
            problems=problems,
        )
    return pins


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The logical lines with their numbers: continued ones joined, comments and hashes gone."""
    begun, number = "", 0
    for at, raw in enumerate(text.splitlines(), start=1):
        number = number or at
        line = _COMMENT.sub("", raw).rstrip()
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        whole = _HASH.sub("", begun + line).strip()
        if whole:
            yield number, whole
        begun, number = "", 0
    if begun.strip():
        yield number, _HASH.sub("", begun).strip()


def _pin(line: str, pins: Pins) -> str:
    """Add what *line* pins; why it cannot be, or ""."""
    if line.startswith("-"):
        return "is an option of pip, not a package with a version"
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return "is no requirement"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return ""
    specifiers = list(requirement.specifier)  # none where an address is given
    if len(specifiers) != 1 or specifiers[0].operator != "==" or "*" in specifiers[0].version:
        return "leaves the version open"
    name = canonicalize_name(requirement.name)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    version = specifiers[0].version
    if pins.setdefault(f"{name}{extras}", version) != version:
        return f"contradicts {name}=={pins[name + extras]}"
    return ""


def imported(modules: Mapping[str, bytes]) -> Pins:
    """Pins, as installed here, of what the source files *modules* (by path) import.

    What is not installed is left out: if it is needed, running the code says so. Raises
    :class:`~shipway.errors.ModelFileError` for a file that is not Python.
    """
    own = {path.partition("/")[0].removesuffix(".py") for path in modules}
    roots: set[str] = set()
    for path, data in modules.items():
        try:
            roots |= set(_imports(ast.parse(data)))
        except (SyntaxError, ValueError) as error:
            raise ModelFileError(
                f"{path} is not Python: {error}", next_step="mend it, or leave it out"
            ) from error
    providers = metadata.packages_distributions()
    names = {
        canonicalize_name(provider)
        for root in roots - own - sys.stdlib_module_names
        for provider in providers.get(root, ())
    }
    return {name: metadata.version(name) for name in sorted(names - _NOT_PINNED)}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def check_installed(pins: Mapping[str, str]) -> None:
    """Raise :class:`~shipway.errors.MissingPackage` unless every pin is what is installed here."""
    wrong = []
    for name, version in sorted(pins.items()):
        here = _installed(name.partition("[")[0])
        if here != version:
            wrong.append((f"{name}=={version}", here))
    if wrong:
        told = ", ".join(f"{pin} ({here or 'not'} installed)" for pin, here in wrong)
        raise MissingPackage(
            f"the model's code needs {told}",
            next_step=f"pip install {_quoted(pin for pin, _ in wrong)}",
        )


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _quoted(pins: Iterable[str]) -> str:
    return " ".join(f'"{pin}"' for pin in pins)
