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
    model: Annotated[
        Path,
        Parameter(help="A model file (onnx, joblib, txt, ubj ...), file.py:Name, or a folder."),
    ],
    /,
    *,
    trust_pickle: Annotated[
        bool,
        Parameter(help="Open a pickle or joblib file. It can run any code: only if you made it."),
    ] = False,
    trust_code: Annotated[
        bool,
        Parameter(help="Run the model's own code. It can do anything: only if you trust it."),
    ] = False,
    entry: Annotated[
        str | None, Parameter(help="The class or function that predicts, in a folder: module:name.")
    ] = None,
    requirements: Annotated[
        Path | None,
        Parameter(help="What the code needs, pinned; its requirements.txt by default."),
    ] = None,
    data: Annotated[
        Path | None, Parameter(help="The rows to prove it on; data.train by default.")
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Convert and prove, but publish nothing.")] = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Make a model file a version: converted, proved equal, published.

    The model becomes ONNX where it is proved to answer the same on real rows, and stays in a
    safe format of its own library otherwise. A class or function of your own is kept as source,
    and runs in a process without secrets. A version never changes; its lineage says what it
    was made from.
    """
    from shipway.api.pack import pack as make
    from shipway.api.pack import publish

    output = options.output()
    if trust_pickle:
        output.warn("opening a pickle runs the code in it; --trust-pickle says that you made it")
    if trust_code:
        output.warn("packing code runs it; --trust-code says that you trust it")
    with options.open() as project:
        candidate, result = make(
            project,
            model,
            trust_pickle=trust_pickle,
            trust_code=trust_code,
            entry=entry,
            requirements=requirements,
            data=data,
            progress=output.progress,
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
