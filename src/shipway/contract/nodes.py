"""YAML that may come from anybody: bounded before it is built, and read with its line numbers.

Only the plain types of YAML are known. Every mistake is kept with its place, so that a file's
mistakes are told together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import yaml

from shipway.errors import ContractError, Problem

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 32
MAX_NODES: Final = 400_000

CODE: Final = "contract.invalid"

# The loader in C is some twenty times faster; not every build of PyYAML has it.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_tree(text: str, source: str) -> yaml.Node:
    """The tree of the one YAML document in *text*.

    Raises :class:`~shipway.errors.ContractError` when it is no YAML, larger than 8 MiB, deeper
    than 32 levels, holds more than 400,000 nodes, or uses anchors (which a few lines of text can
    blow up into gigabytes).
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _refused(source, 1, f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        _check_bounds(text, source)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _refused(source, _error_line(error), f"this is not YAML: {_reason(error)}") from error
    if root is None:
        raise _refused(source, 1, "the file is empty")
    return root


def _check_bounds(text: str, source: str) -> None:
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refused(source, line, "anchors and aliases (& and *) are not read")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > MAX_DEPTH:
            raise _refused(source, line, f"the file nests deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise _refused(source, line, f"the file holds more than {MAX_NODES} values")
        if documents > 1:
            raise _refused(source, line, "the file holds a second document after ---")


def _refused(source: str, line: int, message: str) -> ContractError:
    return ContractError(
        f"{source} is not a data contract",
        next_step="mend the file, or make it anew with `shipway contract infer`",
        problems=[Problem(CODE, message, f"{source}:{line}")],
    )


def _error_line(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None)
    return 1 if mark is None else int(mark.line) + 1


def _reason(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)


class Mistakes:
    """The mistakes of one file, each with its line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def add(self, line: int, message: str, hint: str = "") -> None:
        """Keep one mistake."""
        self.problems.append(Problem(CODE, message, f"{self.source}:{line}", hint))

    def raise_if_any(self) -> None:
        """Raise :class:`~shipway.errors.ContractError` with all of them, in order of line."""
        if not self.problems:
            return
        ordered = sorted(self.problems, key=lambda p: int(p.where.rsplit(":", 1)[1]))
        plural = "" if len(ordered) == 1 else "s"
        raise ContractError(
            f"{self.source} has {len(ordered)} mistake{plural}",
            next_step="mend the lines named",
            problems=ordered,
        )


def line_of(node: yaml.Node) -> int:
    """The line of *node*, from 1."""
    return int(node.start_mark.line) + 1


class Fields:
    """A YAML mapping with text keys, read field by field; ``what`` is its name in messages."""

    def __init__(self, node: yaml.Node, what: str, mistakes: Mistakes) -> None:
        self.what = what
        self.line = line_of(node)
        self.mistakes = mistakes
        self.nodes: dict[str, yaml.Node] = {}
        if not isinstance(node, yaml.MappingNode):
            mistakes.add(self.line, f"{what} must be a mapping of names to values")
            return
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in self.nodes:
                mistakes.add(line_of(key), f"{name!r} stands twice in {what}")
            self.nodes[name] = value

    def __contains__(self, key: str) -> bool:
        return key in self.nodes

    def line_of(self, key: str) -> int:
        """The line of the value of *key*, or of the mapping where it has none."""
        return line_of(self.nodes[key]) if key in self.nodes else self.line

    def add(self, key: str, message: str, hint: str = "") -> None:
        """Keep a mistake about *key*."""
        self.mistakes.add(self.line_of(key), message, hint)

    def allow(self, known: Iterable[str]) -> None:
        """Keep a mistake for each key that is not *known*."""
        allowed = list(known)
        for name in self.nodes:
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, n=1)
                hint = f"did you mean {near[0]!r}?" if near else ""
                self.add(name, f"{name!r} is not known in {self.what}", hint)

    def require(self, *keys: str) -> None:
        """Keep a mistake for each of *keys* that is not there."""
        for key in keys:
            if key not in self.nodes:
                self.mistakes.add(self.line, f"{self.what} has no {key!r}")

    def text(self, key: str, default: str = "") -> str:
        """The text of *key* as it is written, so that ``no`` and ``1.0`` stay what they are."""
        found = self.nodes.get(key)
        return default if found is None else text_of_node(found, self._named(key), self.mistakes)

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        """The text of *key*, one of *allowed*; *default* where it is another or absent."""
        text = self.text(key, default)
        if text in allowed:
            return text
        near = difflib.get_close_matches(text, allowed, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        hint = f"{meant}allowed: {', '.join(allowed)}"
        self.add(key, f"{self._named(key)} cannot be {text!r}", hint)
        return default

    def number(self, key: str) -> float | None:
        """The finite number of *key*, or None."""
        found = self.nodes.get(key)
        return None if found is None else number_of_node(found, self._named(key), self.mistakes)

    def count(self, key: str) -> int:
        """The whole number of *key* that is not negative; 0 where it is absent."""
        found = self.nodes.get(key)
        return 0 if found is None else count_of_node(found, self._named(key), self.mistakes)

    def boolean(self, key: str) -> bool:
        """True or false; false where it is absent."""
        found = self.nodes.get(key)
        value = None if found is None else plain_value(found)
        if found is not None and not isinstance(value, bool):
            self.add(key, f"{self._named(key)} must be true or false")
        return value is True

    def items(self, key: str) -> Iterator[yaml.Node]:
        """The items of the list *key*; none where it is absent."""
        found = self.nodes.get(key)
        if isinstance(found, yaml.SequenceNode):
            yield from found.value
        elif found is not None:
            self.add(key, f"{self._named(key)} must be a list")

    def fields(self, key: str, what: str) -> Fields | None:
        """The mapping *key*, or None where it is absent."""
        found = self.nodes.get(key)
        return None if found is None else Fields(found, what, self.mistakes)

    def _named(self, key: str) -> str:
        return f"{key!r} of {self.what}"


def plain_value(node: yaml.Node) -> Any:
    """The bool, int, float, str or None that a scalar *node* stands for; None for any other."""
    if not isinstance(node, yaml.ScalarNode):
        return None
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError):
        return None
    return value if isinstance(value, bool | int | float | str) else None


def text_of_node(node: yaml.Node, what: str, mistakes: Mistakes) -> str:
    """The text of a scalar as written; a list, a mapping or nothing is a mistake."""
    if isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":null"):
        return str(node.value)
    mistakes.add(line_of(node), f"{what} must be text")
    return ""


def number_of_node(node: yaml.Node, what: str, mistakes: Mistakes) -> float | None:
    """The finite number that *node* is."""
    value = plain_value(node)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if abs(number) < float("inf"):
            return number
    mistakes.add(line_of(node), f"{what} must be a finite number")
    return None


def count_of_node(node: yaml.Node, what: str, mistakes: Mistakes) -> int:
    """The whole number that *node* is, not negative."""
    value = plain_value(node)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    mistakes.add(line_of(node), f"{what} must be a whole number, 0 or more")
    return 0
