"""What is told of a model that became a version, or would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.output import Output
from shipway.cli.visible import number, size

if TYPE_CHECKING:
    from shipway.api.pack import PackResult


def show_packed(result: PackResult, output: Output) -> None:
    """Print *result*."""
    if (parity := result.parity) is not None:
        output.line(
            f"Proved on {parity.rows:,} rows: largest difference"
            f" {number(parity.largest_difference, digits=2)},"
            f" {parity.flipped:,} decisions flipped"
        )
    for note in result.notes:
        output.line(f"Note: {note}")
    if result.version is None:
        output.line(f"Ready as {result.format}, {size(result.size_bytes)}; nothing was published")
    else:
        output.line(
            f"Published {result.version.ref} as {result.format}, {size(result.size_bytes)},"
            f" {result.version.digest[:19]}",
            style="green",
        )
