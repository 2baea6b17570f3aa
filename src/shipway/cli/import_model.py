"""``shipway import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Result
from shipway.cli.packed import show_packed


def import_model(
    model: Annotated[
        str,
        Parameter(
            help="The folder or a tar archive of an MLflow model; or registry/name:tag or a layout."
        ),
    ],
    /,
    *,
    data: Annotated[
        Path | None, Parameter(help="The rows to prove it on; data.train by default.")
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Convert and prove, but publish nothing.")] = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Make a model of MLflow's, or another tool's ModelPack, a version.

    It is converted, proved equal and published, as by pack. Of MLflow's the flavours onnx, sklearn,
    lightgbm and xgboost are taken. A pickle is opened only if trust.pickle lists its digest;
    nothing else that comes is run.
    """
    from shipway.api.import_model import import_model as make
    from shipway.api.pack import publish

    output = options.output()
    with options.open() as project:
        candidate, result = make(project, model, data=data, progress=output.progress)
        if not dry_run:
            result = msgspec.structs.replace(result, version=publish(project, candidate).version)
    return Result(
        document=result,
        show=lambda output: show_packed(result, output),
        next_step="shipway gate" if result.version else f"shipway import {model}",
    )
