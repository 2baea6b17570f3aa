"""How help is laid out: plain text in two columns, the same in a terminal, a pipe and the docs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_WIDEST = 100
_LABEL_COLUMN = 30


class HelpLayout:
    """Formats the panels, the usage line and the description of a command's help."""

    show_metavar = True

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one group of commands or options; an empty one is left out."""
        if not panel.entries:
            return
        labels = [" ".join(_labels(entry, panel.format)) for entry in panel.entries]
        column = min(max(map(len, labels)), _LABEL_COLUMN) + 4
        lines = [f"{_plain(panel.title)}:"]
        for label, entry in zip(labels, panel.entries, strict=True):
            lines.extend(_entry(label, _meaning(entry), column, _width(options)))
        _print(console, "\n".join(lines) + "\n")

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the usage line."""
        if text := _plain(usage):
            _print(console, f"Usage: {text.removeprefix('Usage:').strip()}\n")

    def render_description(self, console: Console, options: ConsoleOptions, text: Any) -> None:
        """Print what the command does, its paragraphs filled to the width."""
        paragraphs = [
            textwrap.fill(" ".join(paragraph.split()), _width(options))
            for paragraph in _plain(text).split("\n\n")
            if paragraph.strip()
        ]
        if paragraphs:
            _print(console, "\n\n".join(paragraphs) + "\n")


def _width(options: ConsoleOptions) -> int:
    return min(options.max_width, _WIDEST)


def _labels(entry: HelpEntry, kind: str) -> list[str]:
    """``--port INT`` for an option, ``VERSION`` for an argument, the name for a command."""
    if kind == "command":
        return [", ".join(entry.positive_names + entry.positive_shorts)]
    if entry.positional_label:
        return [entry.positional_label]
    names = ", ".join(entry.all_options)
    takes_value = entry.metavar and entry.metavar != "BOOL"
    return [names, str(entry.metavar)] if takes_value else [names]


def _meaning(entry: HelpEntry) -> str:
    parts = [_plain(entry.description)]
    if entry.choices:
        parts.append(f"[{', '.join(entry.choices)}]")
    if entry.required:
        parts.append("[required]")
    if entry.default not in (None, "", '""', "False", "()", "None"):
        parts.append(f"[default: {entry.default}]")
    return " ".join(part for part in parts if part)


def _entry(label: str, meaning: str, column: int, width: int) -> list[str]:
    filled = textwrap.wrap(meaning, max(20, width - column)) or [""]
    indent = " " * column
    head = f"  {label}"
    if len(head) + 2 > column:
        return [head, *(indent + line for line in filled)]
    return [f"{head:<{column}}{filled[0]}", *(indent + line for line in filled[1:])]


def _plain(text: Any) -> str:
    """The text of what cyclopts gives: a string, a ``rich.text.Text``, or something around one."""
    inner = getattr(text, "primary_renderable", text)
    return str(getattr(inner, "plain", inner or "")).strip()


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
