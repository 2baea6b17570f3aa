"""Writes the commented shipway.toml that ``init`` leaves in a project, and what a version keeps.

What the settings say stands as values; every other setting stands as a comment with its
default, so that a person learns from the file what there is. ``load`` reads it back unchanged.
"""

from __future__ import annotations

from typing import Any

import msgspec
import tomlkit
from tomlkit.items import AoT, Table

from shipway.config.schema import REPEATED, SECTIONS, Entry, keys_of, section_meaning, toml_text
from shipway.config.secrets import SECRETS
from shipway.config.settings import COST_TASKS, Settings
from shipway.config.trust import TrustSettings
from shipway.domain.metrics import Task

_HEAD = (
    "What good means for this model, and how it is operated.",
    "`shipway check` shows every setting and where its value came from.",
)
_COLUMN = 40
_BINARY_ALONE = frozenset({"model.positive", "model.threshold"})


def render_settings(settings: Settings) -> str:
    """The text of a shipway.toml that says *settings*, with a comment on every line."""
    document = tomlkit.document()
    for line in _HEAD:
        document.add(tomlkit.comment(line))
    for section in SECTIONS:
        if section == REPEATED:
            document.add(REPEATED, _objectives(settings))
            continue
        offered = _offered(section, settings)
        said = _said(section, settings)
        if said:
            document.add(section, _table(section, said, offered, _usual_block(settings)))
        else:
            document.add(tomlkit.nl())
            header = f"[{section}]".ljust(_COLUMN - 2)
            document.add(tomlkit.comment(f"{header}# {section_meaning(section)}"))
            for entry in offered:
                document.add(tomlkit.comment(_offer(entry, _usual_block(settings))))
    return tomlkit.dumps(document)


def settings_without_secrets(text: str) -> str:
    """The *text* of a shipway.toml, which is well-formed, without the settings that are secret."""
    document = tomlkit.parse(text)
    found = False
    for name in SECRETS:
        section, _, key = name.partition(".")
        if key in document.get(section, {}):
            del document[section][key]
            found = True
    return tomlkit.dumps(document) if found else text


def settings_for_server(text: str, trust: TrustSettings) -> str:
    """The *text* of a shipway.toml, well-formed, for a server that signs and encrypts nothing.

    Of whom it believes, it says what *trust* says.
    """
    document = tomlkit.parse(text)
    said = _differing("trust", trust)
    if not said and not {"encryption", "sign", "trust"} & document.keys():
        return text
    for section in ("encryption", "sign", "trust"):
        document.pop(section, None)
    if said:
        document["trust"] = msgspec.to_builtins(said)
    return tomlkit.dumps(document)


def _said(section: str, settings: Settings) -> dict[str, Any]:
    """What the file must say of *section* because no default does."""
    goals = settings.objectives
    if section == "baseline":
        return {} if goals.baseline is None else {"kind": goals.baseline}
    if section == "costs":
        kinds = {} if goals.costs is None else msgspec.structs.asdict(goals.costs)
        return {kind: cost for kind, cost in kinds.items() if COST_TASKS[kind] == goals.task}
    said = _differing(section, getattr(settings, section))
    if section == "model" and said["block"] == _usual_block(settings):
        del said["block"]
    return said


def _usual_block(settings: Settings) -> str:
    return "row" if settings.model.time is None else "day"


def _differing(section: str, struct: msgspec.Struct) -> dict[str, Any]:
    known = keys_of(section)
    values = {key: getattr(struct, key) for key in known}
    return {key: value for key, value in values.items() if value != known[key].default}


def _offered(section: str, settings: Settings) -> list[Entry]:
    """The settings worth showing in a new file; the rest is in the reference."""
    task = settings.model.task
    shown = [entry for entry in keys_of(section).values() if not entry.advanced]
    if section == "costs":
        return [entry for entry in shown if COST_TASKS[entry.key] == task]
    if task is not Task.BINARY:
        return [entry for entry in shown if entry.name not in _BINARY_ALONE]
    return shown


def _objectives(settings: Settings) -> AoT:
    listed = tomlkit.aot()
    for objective in settings.objectives.objectives:
        table = tomlkit.table()
        for key, value in _differing(REPEATED, objective).items():
            meaning = objective.definition.meaning if key == "metric" else ""
            _add(table, key, value, meaning)
        listed.append(table)
    if listed:
        _head(listed[0], f"[[{REPEATED}]]", REPEATED)
    return listed


def _table(section: str, said: dict[str, Any], offered: list[Entry], block: str) -> Table:
    table = tomlkit.table()
    _head(table, f"[{section}]", section)
    meanings = {entry.key: entry.meaning for entry in offered}
    for entry in offered:
        if entry.key in said:
            _add(table, entry.key, said[entry.key], entry.meaning)
        else:
            table.add(tomlkit.comment(_offer(entry, block)))
    for key, value in said.items():
        if key not in meanings:
            _add(table, key, value, "")
    return table


def _head(table: Table, header: str, section: str) -> None:
    table.comment(section_meaning(section))
    table.trivia.comment_ws = " " * (_COLUMN - len(header))


def _add(table: Table, key: str, value: Any, meaning: str) -> None:
    """Add a line whose comment begins where those of the offered settings do."""
    item = tomlkit.item(msgspec.to_builtins(value))
    table.add(key, item)
    if meaning:
        item.comment(meaning)
        item.trivia.comment_ws = " " * max(2, _COLUMN - len(f"{key} = {item.as_string()}"))


def _offer(entry: Entry, block: str) -> str:
    """The commented line of a setting that was left at its default; *block* is the usual one."""
    examples = {**_EXAMPLES, "model.block": toml_text(block)}
    value = examples.get(entry.name) or toml_text(entry.default) or '"..."'
    return f"{entry.key} = {value}  ".ljust(_COLUMN - 2) + f"# {entry.meaning}"


_EXAMPLES = {
    "encryption.recipients": '["age1..."]',
    "encryption.identities": '["env:SHIPWAY_AGE_KEY"]',
    "sign.key": '"file:signing-key.pem"',
    "trust.identities": '["* = key:..."]',
    "model.threshold": "0.5",
    "baseline.kind": '"best-constant"',
    "auth.issuer": '"https://login.example.org"',
    "auth.requests_per_s": "100.0",
    "alerts.webhook": '"https://alerts.example.org/shipway"',
    "retrain.command": '"python train.py"',
}
