"""``shipway image``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.intentions import would_write
from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import size

if TYPE_CHECKING:
    from shipway.api.image import Image


def image(
    out: Annotated[Path, Parameter(help="The folder to write.")],
    /,
    *,
    version: Annotated[str | None, Parameter(help="The version; the live one by default.")] = None,
    base: Annotated[
        str | None, Parameter(help="The image to build upon; one with Python by default.")
    ] = None,
    wheelhouse: Annotated[
        Path | None, Parameter(help="A folder of wheels to install from; gathered by default.")
    ] = None,
    tag: Annotated[
        str | None, Parameter(help="Build the image and call it so; only written by default.")
    ] = None,
    tool: Annotated[
        str | None,
        Parameter(help="What builds: docker, podman or buildah; the first found by default."),
    ] = None,
    force: Annotated[bool, Parameter(help="Replace a folder that is there.")] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Write all that builds a container image of the server, offline.

    The image installs hash-locked wheels without a network, runs as a numeric user without
    rights, and drains on SIGTERM. One version is in it, already live.
    """
    from shipway.api.image import image as make

    with options.open() as project:
        if dry_run:
            return would_write(project, out, version)
        made = make(
            project,
            out,
            version=version,
            base=base,
            wheelhouse=wheelhouse,
            tag=tag,
            tool=tool,
            force=force,
        )
    return Result(
        document=made, show=lambda output: _show(made, output), next_step=_next_step(made)
    )


def _next_step(made: Image) -> str:
    if made.tag:
        return f"{made.tool} run --rm -p 8080:8080 {made.tag}"
    return f"{made.tool} build --network none -t {made.version.replace('@', ':')} {made.context}"


def _show(made: Image, output: Output) -> None:
    output.line(
        f"Wrote {made.context}: {made.version} on {made.base},"
        f" {made.packages} packages, {size(made.size_bytes)}",
        style="green",
    )
    if made.tag:
        output.line(f"Built {made.tag}", style="green")
