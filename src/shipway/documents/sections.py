"""The sections of a model card that state what the manifest, the contract and the history say."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.contract.schema import Column, Contract, Role
from shipway.documents.layout import Cell, Facts, Points, Section, cell, facts, table
from shipway.documents.wording import count, number, plural, size
from shipway.domain.metrics import Task
from shipway.domain.text import text_of
from shipway.domain.times import iso
from shipway.registry.records import EndpointChange, Lineage, Manifest, Version

_VALUES_SHOWN = 8


def purpose_section(version: Version, contract: Contract, decision: str) -> Section:
    """What the model is for, as its owner said."""
    return Section(
        "Purpose",
        (
            facts(
                [
                    ("Decision that it serves", decision),
                    ("Task", version.manifest.task),
                    ("Data that it is for", contract.description),
                    ("Intended use", _intended(decision)),
                ]
            ),
        ),
    )


def _intended(decision: str) -> str | None:
    return "The decision above, for rows that keep the data contract." if decision else None


def decision_section(manifest: Manifest) -> Section:
    """How a score becomes a decision, and what good means."""
    objectives = manifest.objectives
    rows: list[tuple[str, str | Cell | None]] = []
    if manifest.spec.classes:
        rows.append(("Classes", ", ".join(text_of(value) for value in manifest.spec.classes)))
    if manifest.task is Task.BINARY:
        rows += [
            ("Positive class", objectives.positive or "the last class in sorted order"),
            ("Decides for it from a score of", number(manifest.threshold)),
        ]
    if manifest.task is not Task.REGRESSION:
        rows.append(("What mistakes cost", _costs(manifest)))
    rows += [
        ("Baseline to beat", objectives.baseline),
        ("Confidence of intervals", number(objectives.confidence)),
        ("Rows resampled together", objectives.block),
    ]
    targets = tuple(one.describe() for one in objectives.objectives)
    said = Points(targets) if targets else Points(("Objectives: not recorded.",))
    return Section("What good means", (facts(rows), said))


def _costs(manifest: Manifest) -> str | None:
    costs = manifest.objectives.costs
    if costs is None:
        return None
    if manifest.task is Task.MULTICLASS:
        return f"any mistake {costs.mistake:g}"
    return f"false positive {costs.false_positive:g}, false negative {costs.false_negative:g}"


def data_section(lineage: Lineage) -> Section:
    """The tables that the version was made with."""
    if not lineage.data:
        return Section("Data", (Points(("Training data: not recorded.",)),))
    header = ("Table", "Rows", "Columns", "From", "To", "Place", "Digest")
    rows = [
        [
            Cell(data.role),
            count(data.rows),
            count(data.columns),
            data.time_from,
            data.time_to,
            data.location,
            cell(data.digest, "digest"),
        ]
        for data in lineage.data
    ]
    return Section("Data", (table(header, rows),))


def features_section(contract: Contract) -> Section:
    """The target and every column that the model or its monitoring looks at."""
    shown = contract.having(Role.TARGET, Role.FEATURE, Role.TIME, Role.ID, Role.GROUP, Role.WEIGHT)
    described = any(column.description for column in shown)
    header = ("Column", "Role", "Kind", "Missing", "Expected values")
    rows = [
        [
            Cell(column.name, "code"),
            Cell(column.role),
            Cell(column.kind),
            Cell(_missing(column)),
            _expected(column),
            *([column.description] if described else []),
        ]
        for column in shown
    ]
    columns = table((*header, "Meaning") if described else header, rows)
    made = f"Inferred from {plural(contract.rows, 'row')}." if contract.rows else None
    said: list[tuple[str, str | Cell | None]] = [("Contract", made)]
    if not described:
        said.append(("Meaning of the columns", None))
    return Section("Target and features", (columns, facts(said)))


def _missing(column: Column) -> str:
    return f"{column.null_rate:.1%} in training" if column.nullable else "never"


def _expected(column: Column) -> str | None:
    if column.categories is not None:
        first = ", ".join(column.categories[:_VALUES_SHOWN])
        more = len(column.categories) - _VALUES_SHOWN
        return f"{first} and {more} more" if more > 0 else first
    low, high = number(column.minimum), number(column.maximum)
    if low is None and high is None:
        return None
    return f"{low or 'no least'} to {high or 'no greatest'}"


def lineage_section(version: Version) -> Section:
    """Where the version comes from: code, parameters, packages."""
    lineage = version.manifest.lineage
    parameters = ", ".join(f"{k}={text_of(v)}" for k, v in sorted(lineage.parameters.items()))
    packages = ", ".join(f"{name} {v}" for name, v in sorted(lineage.packages.items()))
    parent = None if lineage.parent is None else f"version {lineage.parent}"
    return Section(
        "Lineage",
        (
            facts(
                [
                    *_code(lineage),
                    ("Made from", lineage.source_model_type),
                    ("Digest of that model", cell(lineage.source_model_digest, "digest")),
                    ("Made after", parent),
                    ("Parameters", parameters),
                    ("Command", cell(" ".join(lineage.command), "digest")),
                    ("Python", lineage.python),
                    ("Platform", lineage.platform),
                    ("Packages", packages),
                ]
            ),
        ),
    )


def _code(lineage: Lineage) -> list[tuple[str, str | Cell | None]]:
    code = lineage.code
    if code is None or not code.commit:
        return [("Commit", None)]
    state = f"uncommitted changes, {code.diff_digest}" if code.dirty else "nothing uncommitted"
    return [
        ("Commit", cell(code.commit, "digest")),
        ("Branch", code.branch),
        ("Working tree", state),
    ]


def parity_section(manifest: Manifest) -> Section:
    """Whether the model that is served equals the model that was trained."""
    parity, spec = manifest.parity, manifest.spec
    library = ", ".join(f"{name} {version}" for name, version in sorted(spec.library.items()))
    rows: list[tuple[str, str | Cell | None]] = [("Format", spec.format), ("Library", library)]
    if parity is None:
        rows.append(("Comparison with the original", None))
    else:
        verdict = "pass" if parity.passed else "fail"
        rows += [
            ("Comparison with the original", Cell(verdict, verdict)),
            ("Real rows compared", count(parity.rows)),
            ("Largest difference", f"{parity.largest_difference:.3g}"),
            ("Tolerance", f"{parity.tolerance:.3g}"),
            ("Decisions that differ", count(parity.flipped)),
        ]
    notes = (Points(manifest.notes),) if manifest.notes else ()
    return Section("The served model", (facts(rows), *notes))


def history_section(version: Version, history: Sequence[EndpointChange]) -> Section:
    """When the version went live or was taken away, by whom, and on which evidence."""
    mine = [c for c in history if version.number in (c.live, c.before)]
    if not mine:
        return Section("History", (Points(("It was never live.",)),))
    header = ("At", "Endpoint", "Change", "By", "Evidence", "Reason")
    rows = [
        [
            Cell(iso(change.at)),
            Cell(change.endpoint),
            Cell(f"{change.action}: {_named(change.before)} to {_named(change.live)}"),
            change.by,
            "forced" if change.forced else _evidence(change.evidence),
            change.reason,
        ]
        for change in sorted(mine, key=lambda change: (change.endpoint, change.sequence))
    ]
    return Section("History", (table(header, rows),))


def _named(number_: int | None) -> str:
    return "nothing" if number_ is None else f"version {number_}"


def _evidence(identity: int | None) -> str | None:
    return None if identity is None else f"number {identity}"


def files_section(version: Version) -> Section:
    """The bytes that are this version."""
    rows = [
        [Cell(entry.path, "code"), Cell(size(entry.size_bytes)), Cell(entry.digest, "digest")]
        for entry in version.manifest.files
    ]
    whole: Facts = facts(
        [
            ("Digest of the version", cell(version.digest, "digest")),
            ("Published at", iso(version.created_at)),
            ("Published by", version.created_by),
        ]
    )
    listed = (table(("File", "Size", "Digest"), rows),) if rows else ()
    return Section("Identity", (whole, *listed))
