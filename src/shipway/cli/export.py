"""``shipway export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result


def export(
    version: Annotated[
        str,
        Parameter(help="model@number, model@latest, or model@endpoint for what is live there."),
    ],
    out: Annotated[Path, Parameter(help="The folder to write.")],
    /,
    *,
    as_form: Annotated[
        Literal["mlflow"], Parameter(name="--as", help="The form that it is written in.")
    ] = "mlflow",
    force: Annotated[bool, Parameter(help="Replace a model that was written there.")] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Write a version as an MLflow model, for mlflow.pyfunc.load_model.

    It checks rows and decides as the server does, and needs onnxruntime, numpy and pandas beside
    MLflow, but no Shipway.
    """
    from shipway.api.export import export_mlflow

    with options.open() as project:
        made = export_mlflow(project, version, out, force=force, dry_run=dry_run)

    def show(output: Output) -> None:
        if made.files:
            files = ", ".join(made.files)
            output.line(f"Wrote {made.folder} ({as_form}): {made.version}, {files}", style="green")
        else:
            output.line(f"Would write {made.folder} ({as_form}), from {made.version}")

    step = f"python -c \"import mlflow; mlflow.pyfunc.load_model('{made.folder}')\""
    return Result(
        document=made,
        show=show,
        next_step=step if made.files else "the same command without --dry-run",
    )
