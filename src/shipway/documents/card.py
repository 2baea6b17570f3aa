"""The model card of one version, in Markdown and HTML, from its records and nothing else.

What is not recorded is said to be not recorded. The sections follow the Model Cards paper
(Mitchell et al. 2019) and Annex IV of the EU AI Act as far as records speak to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from jinja2 import Environment, PackageLoader, StrictUndefined

from shipway.contract.schema import Contract
from shipway.documents.calling import calling_section
from shipway.documents.evidence import evidence_section
from shipway.documents.layout import Block, Cell, Code, Document, Facts, Points, Table
from shipway.documents.limits import limits_section
from shipway.documents.sections import (
    data_section,
    decision_section,
    features_section,
    files_section,
    history_section,
    lineage_section,
    parity_section,
    purpose_section,
)
from shipway.documents.wording import markdown, markdown_code, one_line
from shipway.registry.records import EndpointChange, EvidenceRecord, Version


@dataclass(frozen=True, slots=True)
class Card:
    """One card in two formats that say the same."""

    markdown: str
    html: str


def render_card(
    version: Version,
    *,
    contract: Contract,
    evidence: Sequence[EvidenceRecord] = (),
    history: Sequence[EndpointChange] = (),
    decision: str = "",
    address: str | None = None,
    drift_margin: float | None = None,
) -> Card:
    """The card of *version*.

    *evidence* are the records about it and *history* the changes of its endpoints, in any order.
    *decision* and *drift_margin* come from the settings; *address* is where it is served, None
    when nobody serves it. Equal records give equal bytes.
    """
    document = _document(version, contract, evidence, history, decision, address, drift_margin)
    return Card(markdown=_markdown(document), html=_html(document))


def _document(
    version: Version,
    contract: Contract,
    evidence: Sequence[EvidenceRecord],
    history: Sequence[EndpointChange],
    decision: str,
    address: str | None,
    drift_margin: float | None,
) -> Document:
    manifest = version.manifest
    return Document(
        title=f"Model card: {version.ref}",
        summary=decision or f"A model for {manifest.task}; what it decides is not recorded.",
        state=_state(version, history),
        sections=(
            purpose_section(version, contract, decision),
            decision_section(manifest),
            evidence_section(evidence, manifest.metrics),
            data_section(manifest.lineage),
            features_section(contract),
            limits_section(version, contract, evidence, history, drift_margin),
            calling_section(contract, address),
            parity_section(manifest),
            lineage_section(version),
            history_section(version, history),
            files_section(version),
        ),
    )


def _state(version: Version, history: Sequence[EndpointChange]) -> Cell:
    """Where the version is live, by the newest change of each endpoint."""
    newest: dict[str, EndpointChange] = {}
    for change in sorted(history, key=lambda change: change.sequence):
        newest[change.endpoint] = change
    live = sorted(name for name, last in newest.items() if last.live == version.number)
    return Cell(f"live on {', '.join(live)}", "pass") if live else Cell("not live", "absent")


def _markdown(document: Document) -> str:
    lines = [f"# {markdown(document.title)}", "", markdown(document.summary), ""]
    lines += [f"State: **{markdown(document.state.text)}**", ""]
    for section in document.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> list[str]:
    match block:
        case Facts(rows):
            return [f"- **{markdown(name)}**: {markdown(value.text)}" for name, value in rows]
        case Table(header, rows):
            head = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
            body = ["| " + " | ".join(markdown(one.text) for one in row) + " |" for row in rows]
            return head + body
        case Points(sentences):
            return [f"- {markdown(sentence)}" for sentence in sentences]
        case Code(label, text):
            return [f"With {label}:", "", markdown_code(text)]
    assert_never(block)


def _html(document: Document) -> str:
    environment = Environment(
        loader=PackageLoader("shipway.documents"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["line"] = one_line
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment.get_template("card.html.j2").render(document=document)
