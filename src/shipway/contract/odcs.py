"""The contract as a file: Open Data Contract Standard 3.1, which other tools read too.

What the standard has no word for (role, policies, reference bins ...) stands in its
``customProperties``. Reading and writing are exact inverses. Properties and checks of other tools
are left alone; a rule of the standard that Shipway does not enforce is refused, because a promise
that nobody keeps is worse than none.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from shipway.contract.nodes import Fields, Mistakes, read_tree, text_of_node
from shipway.contract.odcs_columns import columns_of, own_properties
from shipway.contract.schema import Bins, Column, Contract, NumericBins, Policy, Role
from shipway.domain.metrics import Task

API_VERSION: Final = "v3.1.0"

_API_VERSIONS = ("v3.1.0", "v3.0.2", "v3.0.1", "v3.0.0")
_TOP = (
    "apiVersion", "kind", "id", "name", "version", "status", "description", "schema", "tenant",
    "tags", "servers", "dataProduct", "domain", "support", "price", "team", "roles",
    "slaDefaultElement", "slaProperties", "authoritativeDefinitions", "customProperties",
    "contractCreatedTs",
)  # fmt: skip
_OWN_TOP = ("task", "rows", "rangeSlack", "notes")


class _Flow(list[Any]):
    """A list that is written on one line."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes plain types only, and :class:`_Flow` in brackets."""


_Dumper.add_representer(
    _Flow,
    lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True),
)


def dump(contract: Contract) -> str:
    """*contract* as the text of ``contract.yaml``."""
    table: dict[str, Any] = {
        "name": contract.model,
        "logicalType": "object",
        "physicalType": "table",
        "properties": [_property(column) for column in contract.columns],
    }
    document: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": contract.model,
        "name": contract.model,
        "version": "1.0.0",
        "status": "active",
    }
    if contract.description:
        document["description"] = {"purpose": contract.description}
    document["customProperties"] = _custom(
        {"task": contract.task.value, "rows": contract.rows}
        | ({"rangeSlack": contract.range_slack} if contract.range_slack else {})
        | ({"notes": list(contract.notes)} if contract.notes else {})
    )
    document["schema"] = [table]
    header = "# The promise about the model's data. Format: Open Data Contract Standard 3.1.\n"
    return header + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )


def _custom(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"property": name, "value": value} for name, value in values.items()]


def _property(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": column.name,
        "logicalType": column.kind.value,
        "required": not column.nullable,
    }
    if column.unique:
        entry["unique"] = True
    if column.description:
        entry["description"] = column.description
    bounds = {"minimum": column.minimum, "maximum": column.maximum}
    options: dict[str, Any] = {
        name: _short(bound) for name, bound in bounds.items() if bound is not None
    }
    ranged = bool(options)
    if column.pattern:
        options["pattern"] = column.pattern
    if options:
        entry["logicalTypeOptions"] = options
    if column.example is not None:
        entry["examples"] = _Flow([column.example])
    if column.categories is not None:
        entry["quality"] = [
            {
                "type": "library",
                "metric": "invalidValues",
                "arguments": {"validValues": _Flow(column.categories)},
                "mustBe": 0,
                "severity": "error" if column.unseen.refuses else "warning",
            }
        ]
    entry["customProperties"] = _custom(_own_of(column, ranged=ranged))
    return entry


def _own_of(column: Column, *, ranged: bool) -> dict[str, Any]:
    """What the standard has no word for; a policy is told where there is a rule that it is of."""
    told: dict[str, Any] = {
        "role": column.role.value,
        "nullRate": column.null_rate or None,
        "missingValues": _policy(column.missing, Policy.REJECT, there=False),
        "outOfRange": _policy(column.out_of_range, Policy.WARN, there=ranged),
        "unseenCategories": _policy(
            column.unseen, Policy.WARN, there=column.categories is not None
        ),
        "patternMismatch": _policy(column.mismatched, Policy.WARN, there=bool(column.pattern)),
        "trainingValue": column.fill,
        "bins": None if column.bins is None else _bins_entry(column.bins),
        "personal": None if column.personal is None else column.personal.value,
    }
    return {name: value for name, value in told.items() if value is not None}


def _policy(policy: Policy, default: Policy, *, there: bool) -> str | None:
    return policy.value if there or policy is not default else None


def _bins_entry(bins: Bins) -> dict[str, Any]:
    if isinstance(bins, NumericBins):
        return {
            "type": "numeric",
            "edges": _Flow(map(_short, bins.edges)),
            "counts": _Flow(bins.counts),
            "missing": bins.missing,
        }
    return {
        "type": "categorical",
        "categories": _Flow(bins.categories),
        "counts": _Flow(bins.counts),
        "other": bins.other,
        "missing": bins.missing,
    }


def _short(number: float) -> float | int:
    """*number* without its ``.0``; the same number when read again."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def load(text: str, *, source: str = "contract.yaml") -> Contract:
    """The contract that *text* says; *source* is its name in messages.

    Raises :class:`~shipway.errors.ContractError` with every mistake and its line.
    """
    mistakes = Mistakes(source)
    top = Fields(read_tree(text, source), "the contract", mistakes)
    top.allow(_TOP)
    top.require("apiVersion", "kind", "id", "version", "status", "schema")
    top.choice("apiVersion", _API_VERSIONS, API_VERSION)
    top.choice("kind", ("DataContract",), "DataContract")
    custom = own_properties(top, _OWN_TOP)
    custom.require("task")
    task = custom.choice("task", tuple(task.value for task in Task), Task.REGRESSION.value)
    described = top.fields("description", "'description'")
    contract = Contract(
        model=top.text("id"),
        task=Task(task),
        columns=tuple(columns_of(top)),
        rows=custom.count("rows"),
        description=described.text("purpose") if described else "",
        range_slack=custom.number("rangeSlack") or 0.0,
        notes=tuple(text_of_node(node, "a note", mistakes) for node in custom.items("notes")),
    )
    if "id" in top and not contract.model:
        top.add("id", "'id' is the name of the model and cannot be empty")
    _check_roles(contract, top)
    mistakes.raise_if_any()
    return contract


def _check_roles(contract: Contract, top: Fields) -> None:
    if contract.columns and not contract.features:
        top.add("schema", "no column has the role 'feature'")
    for role in (Role.TARGET, Role.TIME, Role.ID, Role.WEIGHT):
        named = [column.name for column in contract.having(role)]
        if len(named) > 1:
            top.add("schema", f"only one column can be the {role.value}: {', '.join(named)}")
