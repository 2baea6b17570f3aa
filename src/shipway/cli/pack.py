"""``shipway pack``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import number, size

if TYPE_CHECKING:
    from shipway.api.pack import PackResult


def pack(
    model: Annotated[Path, Parameter(help="The model file: onnx, joblib, pickle, txt, ubj ...")],
    /,
    *,
    trust_pickle: Annotated[
        bool,
        Parameter(help="Open a pickle or joblib file. It can run any code: only if you made it."),
    ] = False,
    data: Annotated[
        Path | None, Parameter(help="The rows to prove it on; data.train by default.")
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Convert and prove, but publish nothing.")] = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Make a model file a version: converted, proved equal, published.

    The model becomes ONNX where it is proved to answer the same on real rows, and stays in a
    safe format of its own library otherwise. A version never changes; its lineage says what it
    was made from.
    """
    from shipway.api.pack import pack as make
    from shipway.api.pack import publish

    output = options.output()
    if trust_pickle:
        output.warn("opening a pickle runs the code in it; --trust-pickle says that you made it")
    with options.open() as project:
        candidate, result = make(
            project, model, trust_pickle=trust_pickle, data=data, progress=output.progress
        )
        if not dry_run:
            result = msgspec.structs.replace(result, version=publish(project, candidate).version)
    return Result(
        document=result,
        show=lambda output: _show(result, output),
        next_step="shipway gate" if result.version else f"shipway pack {model}",
    )


def _show(result: PackResult, output: Output) -> None:
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
