"""Marks columns as personal, and leaves no value of theirs in the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from shipway.contract.schema import CategoricalBins, Column, Contract, Personal, Role
from shipway.errors import Problem, UsageError

_NEVER = (Role.TARGET, Role.TIME, Role.WEIGHT)


def read_marks(texts: Sequence[str]) -> dict[str, Personal]:
    """The marks that *texts* say, each as ``NAME=drop``, ``NAME=hash`` or ``NAME=encrypt``.

    Raises UsageError with each one that is not so.

    >>> read_marks(["email=hash"])
    {'email': <Personal.HASH: 'hash'>}
    """
    known = {how.value: how for how in Personal}
    parted = [text.rpartition("=") for text in texts]
    wrong = [
        Problem("usage.invalid", f"{text!r} is not NAME=drop, NAME=hash or NAME=encrypt")
        for text, (name, _, how) in zip(texts, parted, strict=True)
        if not name or how not in known
    ]
    if wrong:
        raise UsageError(
            "--personal names a column and what is written of it",
            next_step="write it as in --personal email=hash",
            problems=wrong,
        )
    return {name: known[how] for name, _, how in parted}


def marked(contract: Contract, marks: Mapping[str, Personal]) -> Contract:
    """*contract* with its columns marked by *marks*, without examples, categories and such bins.

    Raises UsageError for every column that there is not, or that monitoring is made of.
    """
    roles = {column.name: column.role for column in contract.columns}
    wrong = [
        Problem("usage.invalid", f"there is no column {name!r}")
        if name not in roles
        else Problem("usage.invalid", f"{name!r} is the {roles[name].value} and is needed as it is")
        for name in marks
        if roles.get(name) in (None, *_NEVER)
    ]
    if wrong:
        raise UsageError(
            "these columns cannot be personal",
            next_step=f"choose among {', '.join(roles)}",
            problems=wrong,
        )
    columns = tuple(
        _marked(column, marks[column.name]) if column.name in marks else column
        for column in contract.columns
    )
    return msgspec.structs.replace(contract, columns=columns)


def _marked(column: Column, how: Personal) -> Column:
    bins = None if isinstance(column.bins, CategoricalBins) else column.bins
    return msgspec.structs.replace(
        column, personal=how, example=None, categories=None, pattern="", fill=None, bins=bins
    )
