"""Reading the columns of an Open Data Contract Standard file: the larger half of ``odcs.load``."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import yaml

from shipway.contract.nodes import (
    Fields,
    Mistakes,
    count_of_node,
    line_of,
    number_of_node,
    plain_value,
    text_of_node,
)
from shipway.contract.patterns import regex_of
from shipway.contract.rules import fault_of_fill, holds_no_whole_number
from shipway.contract.schema import (
    Bins,
    CategoricalBins,
    Column,
    NumericBins,
    Personal,
    Policy,
    Role,
)
from shipway.domain.events import Scalar
from shipway.domain.model import Kind
from shipway.errors import UsageError

_OBJECT = (
    "id", "name", "logicalType", "physicalName", "physicalType", "description", "businessName",
    "dataGranularityDescription", "properties", "relationships", "quality", "tags",
    "authoritativeDefinitions", "customProperties",
)  # fmt: skip
_PROPERTY = (
    "id", "name", "logicalType", "logicalTypeOptions", "physicalType", "physicalName", "required",
    "description", "businessName", "primaryKey", "primaryKeyPosition", "unique", "partitioned",
    "partitionKeyPosition", "classification", "encryptedName", "transformSourceObjects",
    "transformLogic", "transformDescription", "examples", "criticalDataElement", "relationships",
    "quality", "tags", "authoritativeDefinitions", "customProperties",
)  # fmt: skip
_OPTIONS = {
    Kind.NUMBER: ("minimum", "maximum", "format"),
    Kind.INTEGER: ("minimum", "maximum", "format"),
    Kind.BOOLEAN: (),
    Kind.STRING: ("format", "pattern"),
    Kind.DATE: ("format",),
    Kind.TIMESTAMP: ("format", "timezone", "defaultTimezone"),
}
_OWN = (
    "role", "nullRate", "missingValues", "outOfRange", "unseenCategories", "patternMismatch",
    "trainingValue", "bins", "personal",
)  # fmt: skip
_PERSONAL = tuple(how.value for how in Personal)
_NEVER_PERSONAL = (Role.TARGET, Role.TIME, Role.WEIGHT)
_OF_MISSING = (Policy.REJECT, Policy.QUARANTINE, Policy.IMPUTE)
_OF_NAMES = tuple(policy for policy in Policy if policy is not Policy.CLIP)


def own_properties(owner: Fields, own: tuple[str, ...]) -> Fields:
    """Shipway's entries among the custom properties of *owner*; other tools' are passed by."""
    line_node = owner.nodes.get("customProperties")
    found = Fields(
        yaml.MappingNode("tag:yaml.org,2002:map", [], *_marks(owner, line_node)),
        f"the custom properties of {owner.what}",
        owner.mistakes,
    )
    for item in owner.items("customProperties"):
        entry = Fields(item, "a custom property", owner.mistakes)
        entry.require("property", "value")
        name = entry.text("property")
        if name in found.nodes:
            entry.add("property", f"the custom property {name!r} of {owner.what} stands twice")
        if name in own and "value" in entry:
            found.nodes[name] = entry.nodes["value"]
        elif name.lower().replace("_", "") in {known.lower() for known in own}:
            near = next(known for known in own if known.lower() == name.lower().replace("_", ""))
            entry.add("property", f"{name!r} is no custom property", f"did you mean {near!r}?")
    return found


def _marks(owner: Fields, node: yaml.Node | None) -> tuple[Any, Any]:
    mark = yaml.Mark("", 0, owner.line - 1, 0, None, None)  # type: ignore[arg-type]
    return (mark, mark) if node is None else (node.start_mark, node.end_mark)


def columns_of(top: Fields) -> list[Column]:
    """The columns of the one table in *top*; mistakes are kept in its list."""
    tables = list(top.items("schema"))
    if len(tables) != 1:
        top.add("schema", f"'schema' must hold one table, not {len(tables)}")
    columns: list[Column] = []
    for node in tables[:1]:
        table = Fields(node, "the table", top.mistakes)
        table.allow(_OBJECT)
        table.require("name", "properties")
        table.choice("logicalType", ("object",), "object")
        for item in table.items("properties"):
            column = _column(item, top.mistakes)
            if any(column.name == other.name for other in columns):
                top.mistakes.add(line_of(item), f"the column {column.name!r} stands twice")
            columns.append(column)
    return columns


def _column(node: yaml.Node, mistakes: Mistakes) -> Column:
    fields = Fields(node, "a column", mistakes)
    fields.require("name", "logicalType")
    name = fields.text("name")
    fields.what = f"column {name}"
    fields.allow(_PROPERTY)
    kind = Kind(fields.choice("logicalType", tuple(k.value for k in Kind), Kind.STRING.value))
    custom = own_properties(fields, _OWN)
    custom.require("role")
    minimum, maximum, pattern = _rules(fields, kind)
    null_rate = custom.number("nullRate") or 0.0
    if not 0.0 <= null_rate <= 1.0:
        custom.add("nullRate", f"'nullRate' of column {name} must lie between 0 and 1")
    column = Column(
        name=name,
        kind=kind,
        role=Role(custom.choice("role", tuple(r.value for r in Role), Role.FEATURE.value)),
        nullable=not fields.boolean("required"),
        missing=_policy(custom, "missingValues", _OF_MISSING, Policy.REJECT),
        null_rate=null_rate,
        minimum=minimum,
        maximum=maximum,
        out_of_range=_policy(custom, "outOfRange", tuple(Policy), Policy.WARN),
        categories=_categories(fields, kind),
        unseen=_policy(custom, "unseenCategories", _OF_NAMES, Policy.WARN),
        pattern=pattern,
        mismatched=_policy(custom, "patternMismatch", _OF_NAMES, Policy.WARN),
        fill=_fill(custom, kind),
        unique=fields.boolean("unique"),
        bins=_bins(custom),
        example=_example(fields, kind),
        description=fields.text("description"),
        personal=_personal(custom),
    )
    _check_personal(column, custom)
    _check_policies(column, custom)
    return column


def _policy(custom: Fields, name: str, allowed: tuple[Policy, ...], default: Policy) -> Policy:
    return Policy(custom.choice(name, tuple(one.value for one in allowed), default.value))


def _fill(custom: Fields, kind: Kind) -> Scalar:
    node = custom.nodes.get("trainingValue")
    if node is None:
        return None
    if kind in (Kind.STRING, Kind.DATE, Kind.TIMESTAMP):
        return text_of_node(node, f"'trainingValue' of {custom.what}", custom.mistakes)
    value: Scalar = plain_value(node)
    return value


def _check_policies(column: Column, custom: Fields) -> None:
    """What is imputed must be there, and keep the promise itself; so must what is clipped to."""
    name = column.name
    named = {
        "missingValues": column.missing,
        "outOfRange": column.out_of_range,
        "unseenCategories": column.unseen,
        "patternMismatch": column.mismatched,
    }
    imputing = [rule for rule, policy in named.items() if policy is Policy.IMPUTE]
    if imputing and column.fill is None:
        custom.add(
            imputing[0],
            f"column {name} has no 'trainingValue' that could be imputed",
            "add one, or infer the contract anew",
        )
    if column.fill is not None and (fault := fault_of_fill(column)):
        custom.add("trainingValue", f"'trainingValue' of column {name}: {fault}")
    if column.out_of_range is Policy.CLIP and holds_no_whole_number(column):
        custom.add("outOfRange", f"no whole number lies in the range of column {name}")


def _personal(custom: Fields) -> Personal | None:
    if "personal" not in custom:
        return None
    return Personal(custom.choice("personal", _PERSONAL, Personal.DROP.value))


def _check_personal(column: Column, custom: Fields) -> None:
    """A contract goes into every version, so it may hold no value of a personal column."""
    if column.personal is None:
        return
    name = column.name
    if column.role in _NEVER_PERSONAL:
        custom.add("personal", f"column {name} is the {column.role.value} and cannot be personal")
    lists = {
        "examples": column.example is not None,
        "validValues in quality": column.categories is not None,
        "categories in bins": isinstance(column.bins, CategoricalBins),
        "trainingValue": column.fill is not None,
    }
    for what, there in lists.items():
        if there:
            custom.add(
                "personal",
                f"column {name} is personal, and its {what} would be kept with every version",
                "take them out; `shipway contract infer --personal NAME=hash` does",
            )


def _rules(fields: Fields, kind: Kind) -> tuple[float | None, float | None, str]:
    """The least and the greatest value, and the pattern."""
    options = fields.fields("logicalTypeOptions", f"'logicalTypeOptions' of {fields.what}")
    if options is None:
        return None, None, ""
    for name in options.nodes:
        if name not in _OPTIONS[kind]:
            enforced = ", ".join(_OPTIONS[kind]) or "none"
            options.add(
                name,
                f"the rule {name!r} of {fields.what} is not one that Shipway keeps",
                f"for {kind.value}: {enforced}",
            )
    if kind not in (Kind.NUMBER, Kind.INTEGER):
        return None, None, _pattern(options) if kind is Kind.STRING else ""
    minimum, maximum = options.number("minimum"), options.number("maximum")
    if minimum is not None and maximum is not None and minimum > maximum:
        options.add("minimum", f"'minimum' of {fields.what} is greater than its 'maximum'")
    return minimum, maximum, ""


def _pattern(options: Fields) -> str:
    pattern = options.text("pattern")
    if pattern:
        try:
            regex_of(pattern)
        except UsageError as error:
            options.add("pattern", error.message, error.next_step)
            return ""
    return pattern


def _categories(fields: Fields, kind: Kind) -> tuple[str, ...] | None:
    for item in fields.items("quality"):
        check = Fields(item, f"a check of {fields.what}", fields.mistakes)
        arguments = check.fields("arguments", "'arguments'")
        if check.text("metric") != "invalidValues" or arguments is None:
            continue
        if "validValues" not in arguments:
            continue
        found = tuple(
            text_of_node(node, f"a valid value of {fields.what}", fields.mistakes)
            for node in arguments.items("validValues")
        )
        if kind not in (Kind.STRING, Kind.INTEGER, Kind.BOOLEAN):
            check.add("arguments", f"{fields.what} is a {kind.value} and cannot have categories")
        if len(set(found)) != len(found):
            arguments.add("validValues", f"a valid value of {fields.what} stands twice")
        return found
    return None


def _example(fields: Fields, kind: Kind) -> Scalar:
    for node in fields.items("examples"):
        if kind in (Kind.STRING, Kind.DATE, Kind.TIMESTAMP):
            return text_of_node(node, f"an example of {fields.what}", fields.mistakes)
        value: Scalar = plain_value(node)
        return value
    return None


def _bins(custom: Fields) -> Bins | None:
    entry = custom.fields("bins", f"'bins' of {custom.what}")
    if entry is None:
        return None
    counts = tuple(
        count_of_node(node, f"a count in {entry.what}", custom.mistakes)
        for node in entry.items("counts")
    )
    missing = entry.count("missing")
    if entry.choice("type", ("numeric", "categorical"), "numeric") == "numeric":
        entry.allow(("type", "edges", "counts", "missing"))
        edges = tuple(
            number_of_node(node, f"an edge in {entry.what}", custom.mistakes) or 0.0
            for node in entry.items("edges")
        )
        if not edges or any(low >= high for low, high in pairwise(edges)):
            entry.add("edges", f"the edges in {entry.what} must rise, and be at least one")
        if len(counts) != len(edges) + 1:
            entry.add("counts", f"{entry.what} need one count more than edges")
        return NumericBins(edges=edges, counts=counts, missing=missing)
    entry.allow(("type", "categories", "counts", "other", "missing"))
    categories = tuple(
        text_of_node(node, f"a category in {entry.what}", custom.mistakes)
        for node in entry.items("categories")
    )
    if len(set(categories)) != len(categories):
        entry.add("categories", f"a category in {entry.what} stands twice")
    if len(counts) != len(categories):
        entry.add("counts", f"{entry.what} need one count a category")
    other = entry.count("other")
    return CategoricalBins(categories=categories, counts=counts, other=other, missing=missing)
