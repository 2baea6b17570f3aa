"""``card``: the model card of a version, made from its records alone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shipway.bootstrap.predictors import SETTINGS_IN_VERSION, contract_of
from shipway.bootstrap.project import Project
from shipway.config.load import parse_settings
from shipway.documents.card import render_card
from shipway.durable import SHARED, replace_file, storing
from shipway.serving.status import read_server


class WrittenCard(msgspec.Struct, frozen=True, kw_only=True):
    """Where the card is, in both of its formats."""

    version: str
    markdown: str
    html: str


def card(project: Project, *, version: str | None = None, out: Path | None = None) -> WrittenCard:
    """Write the card of *version* (the newest by default) as Markdown and HTML.

    The files are ``card-<number>.md`` and ``.html`` in the folder *out*, by default in the store.
    What no record holds is said to be not recorded.
    """
    registry = project.registry
    chosen = registry.resolve(version or "latest", project.model)
    told = registry.open_files(chosen)[SETTINGS_IN_VERSION]
    settings = parse_settings(
        told.read_text(encoding="utf-8"), path=told, environ={}, flags={}
    ).settings
    server = read_server(project.home / "run")
    made = render_card(
        chosen,
        contract=contract_of(registry, chosen),
        evidence=registry.evidence(chosen.model, chosen.number),
        history=registry.history(chosen.model),
        decision=settings.model.decision,
        address=server.url if server else None,
        drift_margin=settings.monitor.drift_margin,
    )
    folder = out or project.home / "reports"
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths = {"md": made.markdown, "html": made.html}
        for suffix, text in paths.items():
            replace_file(folder / f"card-{chosen.number}.{suffix}", text.encode(), mode=SHARED)
    return WrittenCard(
        version=chosen.ref,
        markdown=str(folder / f"card-{chosen.number}.md"),
        html=str(folder / f"card-{chosen.number}.html"),
    )
