"""``shipway push``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import size

if TYPE_CHECKING:
    from shipway.api.push import Pushed


def push(
    version: Annotated[
        str,
        Parameter(help="model@number, model@latest, or model@endpoint for what is live there."),
    ],
    reference: Annotated[
        str, Parameter(help="registry/name:tag, or the folder of an OCI image layout.")
    ],
    /,
    *,
    force: Annotated[bool, Parameter(help="Move a tag that is another artefact.")] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Send a version to an OCI registry or folder, with its signatures.

    The form is CNCF ModelPack. What was judged about the version goes along. Who you are to the
    registry is read from where podman and docker keep logins, or from SHIPWAY_REGISTRY_HOST,
    _USER and _PASSWORD (or _TOKEN).
    """
    from shipway.api.push import push as send

    output = options.output()
    with options.open() as project:
        sent = send(
            project, version, reference, force=force, dry_run=dry_run, progress=output.progress
        )
    return Result(
        document=sent,
        show=lambda output: _show(sent, output),
        next_step=f"shipway pull {sent.address}"
        if sent.digest
        else "the same command without --dry-run",
    )


def _show(sent: Pushed, output: Output) -> None:
    beside = f"{_counted(sent.evidence, 'verdict')} and {_counted(sent.signatures, 'signature')}"
    what = f"{sent.version}, {size(sent.size_bytes)}, with {beside}"
    if not sent.digest:
        output.line(f"Would send {what}, to {sent.address}")
        return
    output.line(f"Sent {what}, to {sent.address}", style="green")
    if sent.already_there:
        output.line(f"{sent.already_there:,} of its {sent.blobs:,} files were there already")
    output.line(f"It is {sent.digest} there, for ever")


def _counted(many: int, what: str) -> str:
    return f"{many:,} {what}{'' if many == 1 else 's'}"
