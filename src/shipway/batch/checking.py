"""A chunk held against the contract: what is wrong with its bad rows, and what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.batch.chunks import Chunk, Faults
from shipway.contract.compiled import CompiledContract, FrameReport, RuleCount
from shipway.contract.schema import Policy
from shipway.contract.violations import LIMIT, Violation


@dataclass(frozen=True, slots=True)
class Checked:
    """A chunk after its check.

    ``faults`` has every bad row, ``expected`` counts those that only quarantine refuses, ``soft``
    are the first values that are only counted, ``counts`` has each broken rule, and ``whole`` what
    is wrong with the columns, which refuses every row.
    """

    faults: Faults
    expected: int
    warnings: Mapping[str, int]
    soft: tuple[Violation, ...] = ()
    counts: tuple[RuleCount, ...] = ()
    whole: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()


def check_chunk(compiled: CompiledContract, chunk: Chunk, *, target: bool = False) -> Checked:
    """*chunk* by the contract; with *target* the values of the target too.

    Of a row with a cell that could not be read at all, the others are not judged.
    """
    faults = dict(chunk.faults)
    unread = tuple(
        RuleCount(violation.column, violation.code, 1, Policy.REJECT)
        for told in faults.values()
        for violation in told
    )
    readable = all_but(faults, chunk.frame.height)
    rest = chunk.frame.filter(readable) if faults else chunk.frame
    if not rest.height:
        return Checked(faults, 0, {}, counts=unread)
    report = compiled.check_frame(rest, target=target)
    whole = tuple(one for one in report.violations if one.row is None)
    places = np.flatnonzero(readable)
    if not whole:
        for row, told in _told(compiled, rest, report, target=target).items():
            faults[int(places[row])] = [_at(one, int(places[row])) for one in told]
    return Checked(
        faults=dict(sorted(faults.items())),
        expected=int(np.count_nonzero(report.expected)),
        warnings=report.warnings,
        soft=tuple(_at(one, int(places[one.row or 0])) for one in report.soft),
        counts=unread + report.counts,
        whole=whole,
        notes=report.notes,
    )


def with_faults(checked: Checked, more: Faults) -> Checked:
    """*checked* with *more* faults, which refuse their rows."""
    if not more:
        return checked
    faults = dict(checked.faults)
    for row, told in more.items():
        faults[row] = [*faults.get(row, ()), *told]
    counts = tuple(
        RuleCount(one.column, one.code, 1, Policy.REJECT) for told in more.values() for one in told
    )
    return replace(checked, faults=dict(sorted(faults.items())), counts=(*checked.counts, *counts))


def all_but(faults: Faults, rows: int) -> NDArray[np.bool_]:
    """True for each of *rows* without a fault."""
    good = np.ones(rows, dtype=np.bool_)
    good[list(faults)] = False
    return good


def _at(violation: Violation, row: int) -> Violation:
    return msgspec.structs.replace(violation, row=row)


def _told(
    compiled: CompiledContract, frame: pl.DataFrame, report: FrameReport, *, target: bool
) -> Faults:
    """Why each refused row is. A report tells only its first faults, so ask in parts."""
    if report.total <= LIMIT or frame.height == 1:
        told: Faults = {}
        for violation in report.violations:
            if violation.row is not None:
                told.setdefault(violation.row, []).append(violation)
        return told
    places = np.flatnonzero(report.refused)
    refused = frame.filter(report.refused)
    step = LIMIT if refused.height > LIMIT else (refused.height + 1) // 2
    found: Faults = {}
    for start in range(0, refused.height, step):
        part = refused.slice(start, step)
        again = compiled.check_frame(part, target=target)
        for row, violations in _told(compiled, part, again, target=target).items():
            found[int(places[start + row])] = violations
    return found
