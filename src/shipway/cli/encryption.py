"""``shipway encryption``: keygen, status, seal, rotate, reveal, pseudonym."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result

app = App(
    name="encryption",
    help="Encrypt versions and events where they are stored, and say who can read them.",
    help_prologue="Example: shipway encryption status",
)


@app.command(help_prologue="Example: shipway encryption keygen ~/shipway-key.txt")
def keygen(
    file: Annotated[Path, Parameter(help="A new file for the secret key, outside of the store.")],
    /,
    *,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Make a pair of keys: the secret one in a file, the public one shown.

    Keep a copy of the file somewhere safe: without it, what is encrypted is lost.
    """
    from shipway.api.encryption import NewIdentity
    from shipway.api.encryption import keygen as make

    if dry_run:
        made = NewIdentity(file=str(file), recipient="", made=False)
        words = f"Would make a key in {file}"
        return Result(
            document=made,
            show=lambda output: output.line(words),
            next_step="the same command without --dry-run",
        )
    with options.open() as project:
        made = make(project, file)

    def show(output: Output) -> None:
        output.line(f"Made a secret key in {made.file}: keep a copy of it somewhere safe")
        output.line(f"Its public key: {made.recipient}", style="bold")

    step = f'[encryption] recipients = ["{made.recipient}"], identities = ["file:{made.file}"]'
    return Result(document=made, show=show, next_step=step)


@app.command(help_prologue="Example: shipway encryption status")
def status(*, options: Options = NO_OPTIONS) -> Result:
    """Tell which versions, events and labels are encrypted, and for whom."""
    from shipway.api.encryption import status as ask

    with options.open() as project:
        found = ask(project)
    versions, events = found.versions, found.events

    def show(output: Output) -> None:
        output.line(f"{versions.sealed_versions} versions are encrypted")
        for recipient, files in versions.files_for.items():
            output.line(f"  {files} files for {recipient}{unnamed(recipient)}")
        output.line(f"{events.sealed} files of events and labels are encrypted")
        for recipient, files in events.files_for.items():
            output.line(f"  {files} files for {recipient}{unnamed(recipient)}")
        if versions.plain_versions:
            output.warn(f"Not encrypted: {', '.join(versions.plain_versions)}")
        if events.plain:
            output.warn(f"Not encrypted: {events.plain} files of events and labels")

    def unnamed(recipient: str) -> str:
        return "" if recipient in versions.recipients else ", who is named no more"

    step = "shipway encryption seal" if versions.plain_versions else "shipway encryption rotate"
    return Result(document=found, show=show, next_step=step)


@app.command(help_prologue="Example: shipway encryption seal 3")
def seal(
    version: Annotated[str | None, Parameter(help="The version; every one by default.")] = None,
    /,
    *,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Encrypt versions that were published before anybody was named to read them.

    The plain files go with the first `shipway gc` after the grace period.
    """
    from shipway.api.encryption import seal as run

    with options.open() as project:
        done = run(project, version, dry_run=dry_run, progress=options.output().progress)
    word = "Would encrypt" if dry_run else "Encrypted"

    def show(output: Output) -> None:
        output.line(f"{word} {', '.join(done.sealed) or 'nothing'}", style="green")

    return Result(document=done, show=show, next_step="shipway gc, which removes the plain files")


@app.command(help_prologue="Example: shipway encryption rotate --dry-run")
def rotate(*, dry_run: DryRun = False, options: Options = NO_OPTIONS) -> Result:
    """Wrap the keys of what is encrypted for the recipients of now, and nobody else.

    No file of a version is written again, however large. Who could read before, and kept a copy,
    still can.
    """
    from shipway.api.encryption import rotate as run

    with options.open() as project:
        done = run(project, dry_run=dry_run, progress=options.output().progress)
    word = "Would wrap" if dry_run else "Wrapped"

    def show(output: Output) -> None:
        versions, events = done.versions, done.events
        for what, one in (("files of versions", versions), ("files of events", events)):
            output.line(f"{word} the keys of {one.rewrapped} {what}; {one.unchanged} need it not")
        if done.personal_key:
            output.line(f"{word} the key of personal columns")
        if events.open:
            output.warn(
                f"{events.open} files are still written to: restart the server, then rotate again"
            )

    return Result(document=done, show=show, next_step="shipway encryption status")


@app.command(help_prologue="Example: shipway encryption reveal email sealed:ZnJhZ21lbnQ=")
def reveal(
    column: Annotated[str, Parameter(help="The personal column that the values are of.")],
    sealed: Annotated[tuple[str, ...], Parameter(help="The values, as they were written.")],
    /,
    *,
    options: Options = NO_OPTIONS,
) -> Result:
    """Show what was written encrypted of a personal column; the audit log is told."""
    from shipway.api.encryption import reveal as run

    with options.open() as project:
        found = run(project, column, sealed)

    def show(output: Output) -> None:
        for value in found.values:
            output.line(str(value))

    return Result(document=found, show=show, next_step="shipway audit show")


@app.command(help_prologue="Example: shipway encryption pseudonym email anna@example.org")
def pseudonym(
    column: Annotated[str, Parameter(help="The personal column that is hashed.")],
    value: Annotated[str, Parameter(help="The value to look for.")],
    /,
    *,
    options: Options = NO_OPTIONS,
) -> Result:
    """Show which hash stands for a value of a personal column, to look for it or to delete it.

    The audit log is told.
    """
    from shipway.api.encryption import pseudonym as run

    with options.open() as project:
        found = run(project, column, value)
    return Result(
        document=found,
        show=lambda output: output.line(found.hashed),
        next_step="look for it in the events, or in what `shipway score` wrote",
    )
