"""``shipway pack``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Result
from shipway.cli.packed import show_packed


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
        show=lambda output: show_packed(result, output),
        next_step="shipway gate" if result.version else f"shipway pack {model}",
    )
