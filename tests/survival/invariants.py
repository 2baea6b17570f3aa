"""What holds of a store at every moment that anybody can see, whatever happened to it.

Each function gives its breaches in words, so that a harness can count them and a person can read
them; none is given by an empty tuple.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.logs import checked, log_lines
from tests.stores import NOW, files, manifest

from shipway.domain.digests import digest_of
from shipway.errors import ShipwayError
from shipway.registry.collecting import collect
from shipway.registry.current import AUDIT_FOLDER, BLOBS_FOLDER, METADATA_FILE
from shipway.registry.needs import Needs
from shipway.registry.opening import open_registry
from shipway.registry.registry import Registry
from shipway.registry.sql.sqlite import quick_check
from shipway.registry.trail import CHAIN_FILE
from shipway.security.audit import Outcome

_UNTOLD = ("unneeded_blobs", "meta", "audit_heads", "audit_noted")
"""Tables that are no promise to anybody: what may be collected, counters, and what is yet to be
written to the audit log, which is looked at by itself."""
_CHANGING = (*_UNTOLD, "keys")


@dataclass(frozen=True, slots=True)
class Records:
    """All that a store has promised to keep, line by line."""

    lines: frozenset[str]

    @classmethod
    def of(cls, registry: Registry) -> Records:
        """Those of *registry*, without what is no promise."""
        lines = (line.decode() for line in registry.stores[0].dump())
        rows = (line for line in lines if line.startswith("["))
        return cls(frozenset(line for line in rows if not _is_of(line, _UNTOLD)))

    @property
    def history(self) -> frozenset[str]:
        """Those that never change again."""
        return frozenset(line for line in self.lines if not _is_of(line, _CHANGING))

    def missing(self, earlier: Records) -> list[str]:
        """What history of *earlier* is not here."""
        return sorted(earlier.history - self.lines)


def records_at(home: Path) -> Records:
    """What the store in *home* has promised to keep."""
    with open_registry(home) as registry:
        return Records.of(registry)


def breaches_at(home: Path, *, kept: Sequence[Records] = ()) -> list[str]:
    """Everything that is wrong with the store in *home*, found by opening and using it.

    *kept* is what was acknowledged: none of it may be missing. It ends by publishing, moving and
    collecting, as a person would who knows of no accident.
    """
    try:
        with open_registry(home) as registry:
            found = list(breaches_of(registry, kept=kept))
            if not found:
                found += after_normal_use(registry)
    except ShipwayError as error:
        return [f"it does not open or work: {error}"]
    answer = quick_check(home / METADATA_FILE)
    if answer != "ok":
        found.append(f"SQLite says {answer}")
    return [*found, *_index_breaches(home), *_log_breaches(home)]


def breaches_of(registry: Registry, *, kept: Sequence[Records] = ()) -> Iterator[str]:
    """Everything that is wrong with *registry* as it stands."""
    now = Records.of(registry)
    for earlier in kept:
        yield from (f"acknowledged and lost: {line}" for line in now.missing(earlier))
    rows = rows_of(registry)
    yield from _numbers(rows)
    yield from _deletions(rows)
    yield from _endpoints(registry, rows)
    yield from _bytes(registry)


def after_normal_use(registry: Registry) -> list[str]:
    """What goes wrong when *registry* is used as usual, without any repair."""
    contents = files("after the accident")
    version = registry.publish(manifest(contents), contents, by="zoe", now=NOW)
    state = registry.endpoint("afterwards")
    registry.move_endpoint(
        "afterwards",
        model=version.model,
        expected=state.sequence if state else 0,
        live=version.number,
        action="promote",
        by="zoe",
        reason="it goes on",
        evidence=None,
        now=NOW,
    )
    collect(registry, now=NOW)
    return list(breaches_of(registry))


def untold(home: Path, earlier: Records) -> list[str]:
    """What was added to the store in *home* since *earlier* and is in no audit log.

    Every version, verdict, change of an endpoint, deletion and key has a line of its own, or is
    noted to have one next; :func:`breaches_at` shows that what is noted is written.
    """
    with open_registry(home) as registry:
        registry.trail.flush()
        fresh = sorted(Records.of(registry).history - earlier.history)
    lines = [(line.what, line.object) for line in log_lines(home) if line.outcome is Outcome.DONE]
    missing = []
    for table, row in map(json.loads, fresh):
        if table in _TOLD_AS:
            what, whom = _TOLD_AS[table]
            told = what.format(**row), whom.format(**row)
            if told not in lines:
                missing.append(f"{told[0]} of {told[1]} is in no audit log")
    return missing


_TOLD_AS = {
    "versions": ("version.publish", "{model}@{number}"),
    "version_changes": ("version.{action}", "{model}@{number}"),
    "evidence": ("version.{kind}", "{model}@{number}"),
    "endpoint_changes": ("endpoint.{action}", "{endpoint}"),
    "signatures": ("version.sign", "{model}@{number}"),
}


def _log_breaches(home: Path) -> Iterator[str]:
    """The audit log may be believed to its last line, and nothing that is noted waits."""
    with open_registry(home) as registry:
        registry.trail.flush()
        heads = registry.audit_heads()
        if rows_of(registry)["audit_noted"]:
            yield "what was noted is not told"
    for head in heads:
        if head.chain == (home / AUDIT_FOLDER / CHAIN_FILE).read_text():
            found = checked(home / AUDIT_FOLDER, head).problems
            yield from (f"audit log: {problem.message}" for problem in found)


def _is_of(line: str, tables: Sequence[str]) -> bool:
    return any(line.startswith(f'["{table}"') for table in tables)


def rows_of(registry: Registry) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table, as they are backed up."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in registry.stores[0].dump():
        if line.startswith(b"["):
            table, row = json.loads(line)
            rows[table].append(row)
    return rows


def _numbers(rows: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Numbers have no gap, and the same bytes are one version."""
    by_model: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows["versions"]:
        by_model[row["model"]].append(row)
    for model, versions in by_model.items():
        numbers = sorted(row["number"] for row in versions)
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            yield f"{model} has the numbers {numbers}"
        if len({row["digest"] for row in versions}) != len(versions):
            yield f"{model} has the same bytes twice"


def _deletions(rows: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Deleting and bringing back alternate, and nothing that was live is deleted."""
    changes: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows["version_changes"]:
        changes[row["model"], row["number"]].append(row)
    live = {(row["model"], row["live"]) for row in rows["endpoint_changes"]}
    for key, each in changes.items():
        ordered = sorted(each, key=lambda row: int(row["sequence"]))
        told = [(row["sequence"], row["action"]) for row in ordered]
        wanted = [(place + 1, ("delete", "restore")[place % 2]) for place in range(len(told))]
        if told != wanted:
            yield f"{key} was changed as {told}"
        if len(told) % 2 and key in live:
            yield f"{key} was live and is deleted"


def _endpoints(registry: Registry, rows: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """One version live at most, by a history without a gap."""
    for name in {row["endpoint"] for row in rows["endpoint_changes"]}:
        history = registry.history(name)
        sequences = [change.sequence for change in history]
        if sequences != list(range(1, len(history) + 1)):
            yield f"the history of {name} has the sequences {sequences}"
        if any(later.before != earlier.live for earlier, later in pairwise(history)):
            yield f"the history of {name} does not follow"
        state = registry.endpoint(name)
        if state is None or state.live != history[-1].live:
            yield f"{name} is at {state}, its history at {history[-1].live}"
        if len({change.model for change in history}) != 1:
            yield f"{name} changed its model"


def _bytes(registry: Registry) -> Iterator[str]:
    """Every version that is seen is whole, and what has the name of a blob is that blob."""
    blobs = registry.stores[1]
    there = set(blobs.digests())
    for digest in there:
        with blobs.open(digest) as blob:
            if digest_of(blob.read()) != digest:
                yield f"the blob {digest} is damaged"
    needs = Needs()
    for line in registry.stores[0].dump():
        needs.read(line)
    for (model, number), required in needs.versions.items():
        if missing := required - there:
            yield f"{model}@{number} is half: it lacks {sorted(missing)}"
            continue
        version = registry.version(model, number)
        opened = registry.open_files(version)
        wrong = [
            entry.path
            for entry in version.manifest.files
            if digest_of(opened[entry.path].read_bytes()) != entry.digest
        ]
        if wrong:
            yield f"{version.ref} loads {wrong} wrongly"


def _index_breaches(home: Path) -> Iterator[str]:
    """The view for other tools lists every version once anybody published since."""
    path = home / BLOBS_FOLDER / "index.json"
    try:
        images = json.loads(path.read_bytes())["manifests"]
    except (OSError, ValueError, KeyError) as error:
        yield f"index.json cannot be read: {error}"
        return
    with open_registry(home) as registry:
        count = sum(len(registry.versions(model)) for model in registry.models())
    if len(images) != count:
        yield f"index.json lists {len(images)} of {count} versions"
