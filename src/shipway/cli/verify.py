"""``shipway verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.errors import UsageError


def verify(
    version: Annotated[str | None, Parameter(help="The version; the newest by default.")] = None,
    /,
    *,
    folder: Annotated[
        Path | None, Parameter(help="A model outside of the store, with its signature.")
    ] = None,
    signature: Annotated[
        Path | None, Parameter(help="The signature of --folder; model.sig in it by default.")
    ] = None,
    public_key: Annotated[
        Path | None,
        Parameter(help="The key (PEM) that must have signed --folder; else [trust] says whose."),
    ] = None,
    ignore: Annotated[
        tuple[str, ...], Parameter(help="A file of --folder to leave out; may be repeated.")
    ] = (),
    options: Options = NO_OPTIONS,
) -> Result:
    """Verify every byte of a version, and who signed it, as it is done before it is loaded.

    What is not believed ends with exit code 4 and says why by a code of its own: a file that
    nobody signed, is missing or was changed, no signature, one that is not good, or somebody who
    is not named or was revoked.
    """
    from shipway.api.sign import verify as make
    from shipway.api.sign import verify_folder

    if folder is None:
        if signature or public_key or ignore:
            raise UsageError(
                "--signature, --public-key and --ignore are for a folder",
                next_step="add --folder FOLDER",
            )
        with options.open() as project:
            verified = make(project, version)
    elif version is not None:
        raise UsageError("a version or a folder can be verified, not both", next_step="name one")
    elif public_key is not None:
        verified = verify_folder(
            folder, project=None, signature=signature, public_key=public_key, ignore=ignore
        )
    else:
        with options.open() as project:
            verified = verify_folder(folder, project=project, signature=signature, ignore=ignore)

    def show(output: Output) -> None:
        who = f"signed by {verified.identity}" if verified.identity else "signed by nobody"
        named = "" if verified.named or not verified.identity else ", whom no policy names"
        output.line(f"{verified.subject} is what was published: {verified.files} files verified")
        output.line(f"It is {who}{named}")

    step = "shipway serve" if verified.named else "name who is believed in [trust] of shipway.toml"
    return Result(document=verified, show=show, next_step=step)
