"""``shipway keys``: create, list, revoke."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment

app = App(
    name="keys",
    help="Create, list and revoke the API keys of the server.",
    help_prologue="Example: shipway keys create --name dashboard",
)


@app.command(help_prologue="Example: shipway keys create --name dashboard --scope view --days 30")
def create(
    *,
    name: Annotated[str, Parameter(help="Whose key it is; yours by default.")] = "",
    scope: Annotated[
        tuple[str, ...],
        Parameter(
            help="A right (predict, label, view, publish, approve) or a role (viewer, predictor,"
            " author, approver, admin); may be repeated."
        ),
    ] = (),
    days: Annotated[
        int, Parameter(help="Days until it expires.", validator=Number(gte=1, lte=3650))
    ] = 90,
    export: Annotated[
        Path | None,
        Parameter(help="A file of key records to add it to, for a container to mount."),
    ] = None,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Create an API key and show it once.

    Only its digest is kept. A running server knows it within a second.
    """
    from shipway.api.keys import EVERYDAY_SCOPES, create_key

    scopes = scope or EVERYDAY_SCOPES
    if dry_run:
        words = f"Would create a key with the rights {', '.join(scopes)} for {days} days"
        return Result(
            document={"name": name, "scopes": scopes, "days": days, "created": False},
            show=lambda output: output.line(words),
            next_step="the same command without --dry-run",
        )
    with options.open() as project:
        made = create_key(
            project, name=name, scopes=scopes, life=timedelta(days=days), export=export
        )

    def show(output: Output) -> None:
        output.line(f"Key {made.id} for {made.name}: {', '.join(made.scopes)}")
        output.line(f"Expires {moment(made.expires_at)} UTC")
        output.line(f"The key, shown only now: {made.secret}", style="bold")

    return Result(document=made, show=show, next_step="SHIPWAY_KEY=KEY shipway predict TABLE")


@app.command(name="list", help_prologue="Example: shipway keys list")
def list_all(*, options: Options = NO_OPTIONS) -> Result:
    """List every key that was ever made, without its secret."""
    from shipway.api.keys import list_keys

    with options.open() as project:
        listed = list_keys(project)

    def show(output: Output) -> None:
        output.table(
            ["Key", "Name", "Rights", "Created (UTC)", "Expires (UTC)", "Revoked (UTC)"],
            [
                (
                    key.id,
                    key.name,
                    ", ".join(key.scopes),
                    moment(key.created_at),
                    moment(key.expires_at),
                    moment(key.revoked_at),
                )
                for key in listed
            ],
        )

    return Result(document={"keys": listed}, show=show, next_step="shipway keys create")


@app.command(help_prologue="Example: shipway keys revoke KEY")
def revoke(
    key: Annotated[str, Parameter(help="The id of the key, from `shipway keys list`.")],
    /,
    *,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Revoke a key; a running server refuses it within a second."""
    from shipway.api.keys import list_keys, revoke_key
    from shipway.errors import NotFoundError

    with options.open() as project:
        if not dry_run:
            revoke_key(project, key)
        elif key not in {known.id for known in list_keys(project)}:
            raise NotFoundError(f"no key has the id {key!r}", next_step="shipway keys list")
    verb = "Would revoke" if dry_run else "Revoked"
    return Result(
        document={"id": key, "revoked": not dry_run},
        show=lambda output: output.line(f"{verb} {key}"),
        next_step="shipway keys list",
    )
