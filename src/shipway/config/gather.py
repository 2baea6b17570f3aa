"""Takes over into a draft what the file, the environment and the command line say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shipway.config.accept import REFUSED, accept, did_you_mean, noun, parse_text
from shipway.config.draft import Draft, Origin, Said
from shipway.config.schema import (
    HOME_VARIABLE,
    REPEATED,
    SECTIONS,
    Entry,
    by_name,
    by_variable,
    keys_of,
)
from shipway.config.syntax import Document


def read_file_values(document: Document, draft: Draft) -> None:
    """Take over what the file says."""
    draft.problems.extend(document.problems)
    for section, key in document.damaged:
        draft.damaged |= {f"{section}.{key}" if key else section}
        draft.sections.setdefault(section, f"{draft.source}:1")
    for section, body in document.values.items():
        line = document.lines.get((section,), 1)
        where = f"{draft.source}:{line}"
        if section not in SECTIONS:
            _complain_of_section(section, body, where, draft)
            continue
        draft.sections[section] = where
        if section == REPEATED:
            _read_objectives(body, where, document, draft)
        elif isinstance(body, dict):
            values = _read_table(section, body, (section,), document, draft)
            draft.values.update({f"{section}.{key}": said for key, said in values.items()})
        else:
            draft.damaged.add(section)
            message = f"{section} must be a table, not {noun(body)}"
            draft.complain("wrong-type", message, where, f"write [{section}] on a line of its own")


def read_variables(environ: Mapping[str, str], draft: Draft) -> None:
    """Take over what the environment says: ``SHIPWAY_SECTION__KEY`` and ``SHIPWAY_HOME``."""
    known = by_variable()
    joined = {name.replace("__", "_"): name for name in known}
    for name, text in sorted(environ.items()):
        if name in known:
            if name == HOME_VARIABLE and known[name].variable in environ:
                hint = f"keep {known[name].variable} and unset {name}"
                draft.complain("contradiction", "the store's home is set twice", name, hint)
                continue
            _take_text(known[name], text, Origin.ENVIRONMENT, name, draft)
        elif name.startswith("SHIPWAY_") and "__" in name:
            section = name.removeprefix("SHIPWAY_").partition("__")[0].lower()
            hint = did_you_mean(name, known)
            if section == REPEATED:
                hint = f"objectives are said in {draft.source} alone"
            draft.complain("unknown-key", f"no setting is called {name}", name, hint)
        elif name in joined and "://" not in text:  # Kubernetes names a service's address so
            message = f"{name} sets nothing: two underscores part section and key"
            draft.complain("unknown-key", message, name, f"did you mean {joined[name]}?")


def read_flags(flags: Mapping[str, str], draft: Draft) -> None:
    """Take over what was said on the command line: setting name to text."""
    known = by_name()
    settable = [name for name, entry in known.items() if entry.variable]
    for name, text in flags.items():
        where = f"flag {name}"
        if name in settable:
            _take_text(known[name], text, Origin.FLAG, where, draft)
        elif name.partition(".")[0] == REPEATED:
            hint = f"objectives are said in {draft.source} alone"
            draft.complain("unknown-key", f"{name} cannot be set by a flag", where, hint)
        else:
            hint = did_you_mean(name, settable)
            draft.complain("unknown-key", f"no setting is called {name}", where, hint)


def _complain_of_section(section: str, body: Any, where: str, draft: Draft) -> None:
    if isinstance(body, dict | list):
        hint = did_you_mean(section, SECTIONS) or f"the sections are {', '.join(SECTIONS)}"
        message = f"there is no section called {section}"
        draft.complain("unknown-section", message, where, hint)
        if hint.startswith("did you mean"):
            draft.damaged.add(hint.removeprefix("did you mean ").removesuffix("?"))
        return
    homes = [entry.section for entry in by_name().values() if entry.key == section]
    hint = f"did you mean {section} in [{homes[0]}]?" if homes else "settings stand in a [section]"
    draft.complain("unknown-key", f"{section} stands in no section", where, hint)


def _read_objectives(body: Any, where: str, document: Document, draft: Draft) -> None:
    if not isinstance(body, list):
        draft.damaged.add(REPEATED)
        hint = f"write [[{REPEATED}]] with two brackets on each side"
        draft.complain("wrong-type", f"{REPEATED} must be a list of tables", where, hint)
        return
    for index, item in enumerate(body):
        path = (REPEATED, index)
        line = document.lines.get(path, document.lines.get((REPEATED,), 1))
        place = f"{draft.source}:{line}"
        if isinstance(item, dict):
            draft.objective_places.append((place, line))
            draft.objectives.append(_read_table(REPEATED, item, path, document, draft))
        else:
            draft.complain("wrong-type", f"an objective is a table, not {noun(item)}", place)


def _read_table(
    section: str,
    body: Mapping[str, Any],
    path: tuple[str | int, ...],
    document: Document,
    draft: Draft,
) -> dict[str, Said]:
    known = keys_of(section)
    prefix = ".".join(map(str, path))
    accepted: dict[str, Said] = {}
    for key, raw in body.items():
        line = document.lines.get((*path, key), 1)
        where = f"{draft.source}:{line}"
        if key not in known:
            hint = _key_hint(section, key)
            if hint.startswith("did you mean ") and " in [" not in hint:
                meant = hint.removeprefix("did you mean ").removesuffix("?")
                draft.damaged.add(f"{prefix}.{meant}")
            draft.complain("unknown-key", f"[{section}] has no setting {key}", where, hint)
            continue
        value = accept(known[key], raw, where, draft)
        if value is not REFUSED:
            accepted[key] = Said(value, Origin.FILE, where, line)
        else:
            draft.damaged.add(f"{prefix}.{key}")
    return accepted


def _key_hint(section: str, key: str) -> str:
    known = keys_of(section)
    homes = [entry.section for entry in by_name().values() if entry.key == key]
    if homes:
        return f"did you mean {key} in [{homes[0]}]?"
    if hint := did_you_mean(key, known):
        return hint
    return f"it has {', '.join(known)}"


def _take_text(entry: Entry, text: str, origin: Origin, where: str, draft: Draft) -> None:
    """Take over *text* in place of what was said before, even when it has to be refused."""
    value = accept(entry, parse_text(entry, text), where, draft)
    if value is REFUSED:
        draft.damaged.add(entry.name)
        draft.values.pop(entry.name, None)
    else:
        draft.values[entry.name] = Said(value, origin, where)
