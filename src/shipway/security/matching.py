"""Whether the files that are there are the files that were signed: all of them, and no other.

The digest of a statement as a whole omits the names, so here every name is compared with its
digest. A difference is one of three, each with its own code; all differences are told together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from shipway.errors import FileChanged, FileMissing, FileUnlisted, NotBelieved, Problem
from shipway.security.statements import Resource, Statement

_MOST_TOLD = 20
_NEXT = "get the model again from where it was signed, or have it signed anew as it is"


def check_files(statement: Statement, found: Iterable[Resource], *, what: str) -> None:
    """Return if *found*, the files of *what*, are exactly those of *statement*.

    Raises :class:`~shipway.errors.FileUnlisted`, :class:`~shipway.errors.FileMissing` or
    :class:`~shipway.errors.FileChanged`, the first of them that holds, with every difference.
    """
    signed, there = _by_name(statement.resources), _by_name(found)
    unlisted = sorted(there.keys() - signed.keys())
    missing = sorted(signed.keys() - there.keys())
    changed = sorted(name for name in signed.keys() & there.keys() if signed[name] != there[name])
    differences = (
        (FileUnlisted, unlisted, "is there and nobody signed it"),
        (FileMissing, missing, "was signed and is not there"),
        (FileChanged, changed, "is not the file that was signed"),
    )
    problems = [
        Problem(kind.code, _told(text, name, statement), where=name)
        for kind, names, text in differences
        for name in names[:_MOST_TOLD]
    ]
    for kind, names, text in differences:
        if names:
            raise _refusal(kind, names, text, what, problems)


def _told(text: str, name: str, statement: Statement) -> str:
    """*text*, and that the signer would have it ignored, which is not for the signer to say."""
    ignored = any(name == one or name.startswith(f"{one}/") for one in statement.ignored)
    return f"{text}; that the signer ignores it is not believed" if ignored else text


def _refusal(
    kind: type[NotBelieved], names: list[str], text: str, what: str, problems: list[Problem]
) -> NotBelieved:
    more = f", and {len(names) - 1} more such" if len(names) > 1 else ""
    return kind(f"{what}: {names[0]!r} {text}{more}", next_step=_NEXT, problems=problems)


def _by_name(resources: Iterable[Resource]) -> dict[str, set[Resource]]:
    named: dict[str, set[Resource]] = defaultdict(set)
    for one in resources:
        named[one.name].add(one)
    return named
