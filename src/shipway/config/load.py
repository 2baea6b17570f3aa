"""Reads the settings of a project: flag before variable before file before default.

Whatever is wrong, anywhere, is reported in one error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipway.config.consistency import check_consistency, check_store
from shipway.config.draft import Draft, Origin
from shipway.config.gather import read_file_values, read_flags, read_variables
from shipway.config.schema import REPEATED, SECTIONS, entries, keys_of
from shipway.config.secrets import shown
from shipway.config.settings import FILE_NAME, ModelSettings, Settings, StoreSettings
from shipway.config.syntax import read_document
from shipway.domain.objectives import Costs, Objective, Objectives
from shipway.errors import ConfigError, Problem

_MOST_BYTES = 1 << 20
_LINE = re.compile(r":(\d+)$")


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in force, who said it, and on which line if the file did.

    ``value`` is as it may be shown: of a secret one only a part.
    """

    name: str
    value: Any
    origin: Origin
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, the origin of each in the order of the reference, and the file's path."""

    settings: Settings
    origins: tuple[Setting, ...]
    path: Path


def load_settings(folder: Path, *, environ: Mapping[str, str], flags: Mapping[str, str]) -> Loaded:
    """The settings of the project in *folder*.

    *environ* is the environment; of it, ``SHIPWAY_HOME`` and ``SHIPWAY_SECTION__KEY`` count.
    *flags* gives texts by setting name, as in ``{"serve.port": "9000"}``. Raises ``ConfigError``
    with every problem of all three.
    """
    path = folder / FILE_NAME
    return parse_settings(_read_text(path), path=path, environ=environ, flags=flags)


def load_store(
    folder: Path, *, environ: Mapping[str, str], flags: Mapping[str, str]
) -> StoreSettings:
    """Where the store is, for a *folder* that need not hold a project: then nothing else is said.

    Raises ``ConfigError`` like :func:`load_settings`.
    """
    path = folder / FILE_NAME
    if path.exists():
        return load_settings(folder, environ=environ, flags=flags).settings.store
    draft = Draft(source=path.name)
    read_variables(environ, draft)
    read_flags(flags, draft)
    check_store(draft)
    if draft.problems:
        raise _refusal(draft, path)
    return StoreSettings(**_values_of("store", draft))


def parse_settings(
    text: str, *, path: Path, environ: Mapping[str, str], flags: Mapping[str, str]
) -> Loaded:
    """The settings that the *text* of a file says; *path* is only named, never opened."""
    document = read_document(text, source=path.name)
    draft = Draft(source=path.name)
    read_file_values(document, draft)
    read_variables(environ, draft)
    read_flags(flags, draft)
    if document.complete:
        check_consistency(draft)
    if draft.problems:
        raise _refusal(draft, path)
    return Loaded(_settings(draft), _origins(draft), path)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no {FILE_NAME} in {path.parent}",
            next_step="run `shipway init` there, or name the folder with --project",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}",
            next_step=f"make {path.name} a file that you may read",
        ) from error
    if len(data) > _MOST_BYTES:
        raise ConfigError(
            f"{path} is larger than {_MOST_BYTES:,} bytes",
            next_step="check that this is the file of settings",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path} is not UTF-8 text",
            next_step="save the file as UTF-8",
            problems=[
                Problem("config.syntax", f"byte {data[error.start]:#04x}", f"{path.name}:{line}")
            ],
        ) from error


def _refusal(draft: Draft, path: Path) -> ConfigError:
    def place(problem: Problem) -> tuple[bool, int]:
        line = _LINE.search(problem.where)
        return (line is None, int(line.group(1)) if line else 0)

    problems = sorted(draft.problems, key=place)
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigError(
        f"the settings have {count} ({path})",
        next_step="mend what is listed, then run `shipway check`",
        problems=problems,
    )


def _settings(draft: Draft) -> Settings:
    built: dict[str, Any] = {
        section: declared(**_values_of(section, draft))
        for section, declared in SECTIONS.items()
        if section not in {REPEATED, "model", "costs", "baseline"}
    }
    said = _values_of("model", draft)
    said.setdefault("block", "row" if said.get("time") is None else "day")
    model = ModelSettings(**said)
    costs = _values_of("costs", draft)
    objectives = Objectives(
        task=model.task,
        objectives=tuple(
            Objective(**{key: value.value for key, value in objective.items()})
            for objective in draft.objectives
        ),
        positive=model.positive,
        costs=Costs(**costs) if costs else None,
        baseline=draft.value("baseline.kind"),
        threshold=model.threshold,
        block=model.block,
        confidence=model.confidence,
    )
    return Settings(model=model, objectives=objectives, **built)


def _values_of(section: str, draft: Draft) -> dict[str, Any]:
    names = {key: f"{section}.{key}" for key in keys_of(section)}
    return {key: draft.value(name) for key, name in names.items() if name in draft.values}


def _origins(draft: Draft) -> tuple[Setting, ...]:
    rows: list[Setting] = []
    for entry in entries():
        if entry.section == REPEATED:
            if entry.key == "metric":
                rows.extend(_objective_rows(draft))
            continue
        said = draft.values.get(entry.name)
        if said is not None:
            value = shown(entry.name, said.value)
            rows.append(Setting(entry.name, value, said.origin, said.line))
        elif entry.section not in {"costs", "baseline"}:
            value = entry.default
            if entry.name == "model.block":
                value = "row" if draft.value("model.time") is None else "day"
            rows.append(Setting(entry.name, value, Origin.DEFAULT))
    return tuple(rows)


def _objective_rows(draft: Draft) -> list[Setting]:
    rows = []
    for index, objective in enumerate(draft.objectives):
        stated = Objective(**{key: said.value for key, said in objective.items()})
        line = draft.objective_places[index][1]
        rows.append(Setting(f"{REPEATED}[{index}]", stated.describe(), Origin.FILE, line))
    return rows
