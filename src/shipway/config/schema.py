"""The declarations of ``settings``, made into a list: what may be said, and how it is described.

Everything that must know all settings (the parser, the environment, the commented file, the
reference page) reads them here, so that a new setting is one field of one Struct.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import inspect

from shipway.config.auth import AuthSettings
from shipway.config.encryption import EncryptionSettings
from shipway.config.settings import (
    AlertSettings,
    BaselineSettings,
    DataSettings,
    ModelSettings,
    MonitorSettings,
    RetrainSettings,
    ServeSettings,
    StoreSettings,
)
from shipway.config.trust import SignSettings, TrustSettings
from shipway.domain.objectives import Costs, Objective

SECTIONS: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {
        "model": ModelSettings,
        "data": DataSettings,
        "objectives": Objective,
        "costs": Costs,
        "baseline": BaselineSettings,
        "serve": ServeSettings,
        "auth": AuthSettings,
        "monitor": MonitorSettings,
        "alerts": AlertSettings,
        "retrain": RetrainSettings,
        "store": StoreSettings,
        "sign": SignSettings,
        "trust": TrustSettings,
        "encryption": EncryptionSettings,
    }
)
"""The tables of shipway.toml in the order in which they are written and documented."""

REPEATED = "objectives"
"""The one section that is a list of tables: ``[[objectives]]``."""

HOME_VARIABLE = "SHIPWAY_HOME"
"""A shorter name of the variable for ``store.home``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting. ``plain`` is its type without limits, ``limited`` with them (for msgspec).

    ``kind`` and ``allowed`` describe both to people; ``default`` is a value, and
    ``default_text`` says in words what leaving it out means.
    """

    section: str
    key: str
    meaning: str
    kind: str
    allowed: str
    required: bool
    default: Any
    default_text: str
    choices: tuple[str, ...]
    plain: Any
    limited: Any
    advanced: bool

    @property
    def name(self) -> str:
        """The setting as people write it: ``serve.port``."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it; empty where none can."""
        if self.section == REPEATED:
            return ""
        return f"SHIPWAY_{self.section.upper()}__{self.key.upper()}"


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """One setting as the reference page tells of it; every field is text for people."""

    section: str
    key: str
    variable: str
    kind: str
    allowed: str
    default: str
    required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a type is, unwrapped from its options and its metadata."""

    plain: Any
    kind: str
    allowed: str
    choices: tuple[str, ...] = ()


def section_meaning(section: str) -> str:
    """The first sentence of the section's declaration."""
    if section == "objectives":
        return "What good means: one table an objective, all of which must hold."
    if section == "costs":
        return "What a mistake costs the business, in any one unit; a right decision costs nothing."
    return (SECTIONS[section].__doc__ or "").strip().splitlines()[0]


@cache
def entries() -> tuple[Entry, ...]:
    """Every setting, section by section, in the order of the declarations."""
    return tuple(
        _entry(section, field)
        for section, declared in SECTIONS.items()
        for field in msgspec.structs.fields(declared)
    )


@cache
def by_name() -> Mapping[str, Entry]:
    """The settings by ``section.key``."""
    return MappingProxyType({entry.name: entry for entry in entries()})


@cache
def keys_of(section: str) -> Mapping[str, Entry]:
    """The settings of one section by key."""
    return MappingProxyType({e.key: e for e in entries() if e.section == section})


@cache
def by_variable() -> Mapping[str, Entry]:
    """The settings by environment variable, the short ``SHIPWAY_HOME`` included."""
    named = {entry.variable: entry for entry in entries() if entry.variable}
    return MappingProxyType(named | {HOME_VARIABLE: by_name()["store.home"]})


def reference() -> list[ReferenceRow]:
    """Every setting for the documentation, in the order of the file."""
    return [
        ReferenceRow(
            section=entry.section,
            key=entry.key,
            variable=entry.variable,
            kind=entry.kind,
            allowed=entry.allowed,
            default=entry.default_text,
            required=entry.required,
            meaning=entry.meaning,
        )
        for entry in entries()
    ]


def _entry(section: str, field: msgspec.structs.FieldInfo) -> Entry:
    described = inspect.type_info(field.type)
    meaning, extra = "", {}
    if isinstance(described, inspect.Metadata):
        meaning = str((described.extra_json_schema or {}).get("description", ""))
        extra = described.extra or {}
    shape = _shape(described)
    default = None if field.required else field.default
    return Entry(
        section=section,
        key=field.name,
        meaning=meaning,
        kind=shape.kind,
        allowed=str(extra.get("allowed", shape.allowed)),
        required=field.required,
        default=default,
        default_text=str(extra.get("default", "" if field.required else toml_text(default))),
        choices=shape.choices,
        plain=shape.plain,
        limited=field.type,
        advanced=bool(extra.get("advanced", False)),
    )


def toml_text(value: Any) -> str:
    """*value* as it is written in the file; empty for None."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(value)
    return msgspec.json.encode(value).decode()


def _shape(described: inspect.Type) -> _Shape:
    match described:
        case inspect.Metadata():
            shape = _shape(described.type)
        case inspect.UnionType():
            (inner,) = (t for t in described.types if not isinstance(t, inspect.NoneType))
            shape = _shape(inner)
        case inspect.BoolType():
            shape = _Shape(bool, "true or false", "true or false", ("true", "false"))
        case inspect.IntType():
            shape = _Shape(int, "whole number", _limits("a whole number", described))
        case inspect.FloatType():
            shape = _Shape(float, "number", _limits("a number", described))
        case inspect.EnumType():
            choices = tuple(str(member.value) for member in described.cls)
            shape = _Shape(str, "choice", f"one of {', '.join(choices)}", choices)
        case inspect.VarTupleType():
            shape = _Shape(list[str], "list of text", 'a list of text, as in ["a", "b"]')
        case inspect.StrType():
            shape = _Shape(
                str, "text", "text that is not empty" if described.min_length else "text"
            )
        case _:
            raise TypeError(f"settings of type {described!r} are not supported")
    return shape


def _limits(noun: str, described: inspect.IntType | inspect.FloatType) -> str:
    low = described.ge if described.ge is not None else described.gt
    if low is None:
        return noun
    begins = "above" if described.gt is not None else "from"
    if described.le is None:
        return f"{noun} {begins} {low:,}" + ("" if begins == "above" else " on")
    return f"{noun} {begins} {low:,} to {described.le:,}"
