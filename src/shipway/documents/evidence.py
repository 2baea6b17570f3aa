"""The gates of a version as a table: what was measured, how surely, and what was judged."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shipway.documents.layout import Bar, Block, Cell, Facts, Points, Section, cell, facts, table
from shipway.documents.wording import count, number, plural
from shipway.domain.times import iso
from shipway.evidence.verdict import Judgement, Measurement
from shipway.registry.records import DataRecord, EvidenceRecord

GATE = "gate"
_MARGIN = 0.08


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate's evidence record says, as far as a document needs it."""

    verdict: str
    judgements: tuple[Judgement, ...] = ()
    notes: tuple[str, ...] = ()
    data: DataRecord | None = None
    live: int | None = None


def latest_gate(evidence: Sequence[EvidenceRecord]) -> tuple[EvidenceRecord, Gate | None] | None:
    """The newest gate among *evidence*, and what it says (None if this release cannot read it)."""
    gates = [record for record in evidence if record.kind == GATE]
    if not gates:
        return None
    newest = max(gates, key=lambda record: record.id)
    try:
        return newest, msgspec.convert(newest.body, Gate, strict=False)
    except msgspec.ValidationError:
        return newest, None


def evidence_section(evidence: Sequence[EvidenceRecord], reported: dict[str, float]) -> Section:
    """Metrics with intervals and verdicts, and the point values reported at packing."""
    return Section("Metrics", (*_gate_blocks(evidence), *_reported(reported)))


def _gate_blocks(evidence: Sequence[EvidenceRecord]) -> list[Block]:
    found = latest_gate(evidence)
    if found is None:
        return [Points(("Gate: not recorded. This version was never judged on labelled data.",))]
    record, gate = found
    if gate is None:
        return [
            Points(
                (
                    f"Gate {record.id} of {iso(record.created_at)} ended with {record.verdict}; "
                    "it is recorded in a form that this release cannot read.",
                )
            )
        ]
    against = None
    if "live" in record.body:
        against = "nothing was live" if gate.live is None else f"version {gate.live}"
    rows: list[tuple[str, str | Cell | None]] = [
        ("Verdict", Cell(record.verdict, record.verdict)),
        ("Judged at", iso(record.created_at)),
        ("Evidence number", str(record.id)),
        ("Live at that time", against),
    ]
    blocks: list[Block] = [facts([*rows, *_data_rows(gate.data)])]
    if gate.judgements:
        blocks.append(_judgements(gate.judgements))
        blocks.append(_reasons(gate.judgements))
    if gate.notes:
        blocks.append(Points(gate.notes))
    return blocks


def _data_rows(data: DataRecord | None) -> list[tuple[str, str | Cell | None]]:
    if data is None:
        return [("Judged on", None)]
    return [
        ("Judged on", plural(data.rows, "row")),
        ("From", data.time_from),
        ("To", data.time_to),
        ("Digest of that table", cell(data.digest, "digest")),
    ]


def _judgements(judgements: Sequence[Judgement]) -> Block:
    header = ("Metric", "Within", "Target", "Value", "Interval", "Rows", "Verdict")
    return table(header, [_row(one) for one in judgements])


def _row(one: Judgement) -> list[str | Cell | None]:
    measured = one.measurement
    blocks = "" if measured.blocks is None else f" in {plural(measured.blocks, 'block')}"
    difference = one.bound == "better_than"
    return [
        Cell(measured.metric, "code"),
        Cell(measured.of or "all rows"),
        Cell(_target(one)),
        cell(_signed(measured.value) if difference else number(measured.value)),
        Cell(interval(measured), "" if measured.low is not None else "absent", _bar(one)),
        cell(f"{count(measured.n)}{blocks}"),
        Cell(one.verdict, one.verdict),
    ]


def _target(one: Judgement) -> str:
    if one.bound == "better_than":
        sign = "difference from " + str(one.objective.better_than)
        return f"{sign}, against {one.target:g}"
    return f"{one.bound.replace('_', ' ')} {one.target:g}"


def interval(measured: Measurement) -> str:
    """``0.71 to 0.74 (95 %, days)``, with an open side where the truth may lie anywhere."""
    low, high = number(measured.low), number(measured.high)
    if low is None and high is None:
        return f"none: {measured.note}" if measured.note else "none"
    sides = f"{low or 'unbounded'} to {high or 'unbounded'}"
    return f"{sides} ({measured.confidence:.4g} confidence, {measured.method})"


def _signed(value: float | None) -> str | None:
    text = number(value)
    return text if text is None or text.startswith("-") else f"+{text}"


def _bar(one: Judgement) -> Bar | None:
    """The interval and its target on one scale; None where a side is open."""
    measured = one.measurement
    if measured.low is None or measured.high is None:
        return None
    first, last = min(measured.low, one.target), max(measured.high, one.target)
    width = last - first
    if width <= 0:
        return None
    start, width = first - _MARGIN * width, width * (1 + 2 * _MARGIN)

    def place(value: float) -> float:
        return round(min(max(100 * (value - start) / width, 0.0), 100.0), 2)

    value = None if measured.value is None else place(measured.value)
    return Bar(place(measured.low), place(measured.high), value, place(one.target))


def _reasons(judgements: Sequence[Judgement]) -> Points:
    return Points(
        tuple(
            f"{one.measurement.metric}"
            + (f" within {one.measurement.of}" if one.measurement.of else "")
            + f", {one.verdict}: {one.reason}"
            for one in judgements
        )
    )


def _reported(reported: dict[str, float]) -> list[Block]:
    if not reported:
        return []
    rows = [(f"{name}, as reported when packed", number(value)) for name, value in reported.items()]
    return [Facts(tuple((name, cell(value)) for name, value in rows))]
