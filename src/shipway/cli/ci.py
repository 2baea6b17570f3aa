"""``shipway ci``: init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result

app = App(
    name="ci",
    help="Write the workflow that checks, packs and gates every change.",
    help_prologue="Example: shipway ci init github --model model.onnx",
)


@app.command(help_prologue="Example: shipway ci init github --model model.onnx")
def init(
    system: Annotated[Literal["github"], Parameter(help="Where the workflow runs.")] = "github",
    /,
    *,
    model: Annotated[Path, Parameter(help="The model file that a change brings.")],
    trust_pickle: Annotated[
        bool, Parameter(help="Let the workflow open a pickle from the repository.")
    ] = False,
    force: Annotated[bool, Parameter(help="Replace a workflow that is there.")] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Write the workflow that checks, validates, packs and gates every change.

    It has the least permissions that do, and every action in it is pinned.
    """
    from shipway.api.ci import init_github

    with options.open() as project:
        made = init_github(project, model, trust_pickle=trust_pickle, force=force, dry_run=dry_run)

    def show(output: Output) -> None:
        if not made.written:
            output.line(made.text)
        for note in made.notes:
            output.line(f"Note: {note}")
        output.line(f"{'Wrote' if made.written else 'Would write'} {made.path}")

    return Result(document=made, show=show, next_step=f"git add {made.path}")
