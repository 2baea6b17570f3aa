"""``shipway serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output

if TYPE_CHECKING:
    from shipway.api.serve import Serving


def serve(
    *,
    host: Annotated[str | None, Parameter(help="The address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="The port of predictions; 0: any free.")] = None,
    control_port: Annotated[
        int | None, Parameter(help="The port of labels, metrics and administration.")
    ] = None,
    workers: Annotated[int | None, Parameter(help="Processes that predict.")] = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Answer requests over HTTP until told to stop.

    Predictions, health and metadata are on one port, labels and metrics on the other. The
    first API key is made and shown once. SIGTERM and Ctrl-C let open requests end first.
    """
    from shipway.api.serve import serve as run

    output = options.output()
    with options.open(
        serve__host=host,
        serve__port=port,
        serve__control_port=control_port,
        serve__workers=workers,
    ) as project:
        return run(project, announce=lambda serving: _announce(serving, output))


def _announce(serving: Serving, output: Output) -> None:
    if output.as_json:
        output.document(serving)
        return
    output.line(f"{serving.model} version {serving.live} answers at {serving.url}", style="green")
    if serving.grpc_url:
        output.line(f"The same over gRPC: {serving.grpc_url}")
    output.line(f"Labels, metrics and administration: {serving.control_url}")
    if (key := serving.first_key) is not None:
        output.line(f"Your API key, shown only now: {key.secret}", style="bold")
    output.say("Next: SHIPWAY_KEY=KEY shipway predict TABLE, in another terminal", style="bold")
