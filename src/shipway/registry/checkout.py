"""The code of a version, as it was, in a folder of its own.

The recorded commit is checked out into a working tree that is taken away again, and the recorded
uncommitted change is applied to it. Nothing of the repository's own configuration is run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from shipway.domain.digests import digest_of_file
from shipway.errors import EnvironmentFailure
from shipway.registry.lineage import NOT_KEPT, UNTRACKED, Git, without_filters
from shipway.registry.records import CodeRecord

_NEVER = frozenset({".git", ".shipway", ".venv", "__pycache__", "node_modules"})


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """The project's folder in the working tree, and what of the code could not be had."""

    folder: Path
    lacks: tuple[str, ...]


@contextmanager
def checked_out(
    folder: Path, code: CodeRecord | None, change: bytes, environ: Mapping[str, str]
) -> Iterator[Checkout]:
    """The code that was recorded of the project in *folder*, with its uncommitted *change*.

    Without a recorded commit it is a copy of the folder as it is now, and that is told as lacking.
    Raises :class:`~shipway.errors.EnvironmentFailure` when git has not the commit.
    """
    with tempfile.TemporaryDirectory(prefix="shipway-") as temporary:
        target = Path(temporary) / "code"
        if code is None or not code.commit:
            _copy(folder, target)
            lack = "no commit was recorded: the code is the project's as it is now"
            yield Checkout(folder=target, lacks=(lack,))
            return
        git = Git(folder, environ)
        top = Path(git.text("rev-parse", "--show-toplevel") or folder)
        git = Git(top, environ, without_filters(git))
        if git.run("worktree", "add", "--detach", "--quiet", str(target), code.commit) is None:
            raise EnvironmentFailure(
                f"git cannot check out {code.commit} in {top}",
                next_step="fetch the commit: `git fetch --all`, then try again",
            )
        try:
            lacks = tuple(_changed(Git(target, environ), target, top, change))
            inner = folder.absolute().relative_to(top.absolute())
            yield Checkout(folder=target / inner, lacks=lacks)
        finally:
            git.run("worktree", "remove", "--force", str(target))


def _changed(git: Git, target: Path, top: Path, change: bytes) -> Iterator[str]:
    """Apply the uncommitted *change* in *target*; what of it is not there."""
    if change.startswith(NOT_KEPT):
        yield "the uncommitted change was too large to be kept"
    lines = change.splitlines(keepends=True)
    untracked = [line for line in lines if line.startswith(UNTRACKED)]
    # Notes stand behind the patch, at the beginnings of lines, where no line of a patch has "#".
    patch = b"".join(line for line in lines if not line.startswith((UNTRACKED, NOT_KEPT)))
    if patch:
        file = target.with_name("change.patch")
        file.write_bytes(patch)
        if git.run("apply", "--binary", "--whitespace=nowarn", str(file)) is None:
            yield "the uncommitted change does not apply to the commit"
    for line in untracked:
        mark, _, name = line.removeprefix(UNTRACKED).rstrip(b"\n").decode().rpartition(" ")
        source = top / name
        if source.is_file() and digest_of_file(source) == mark:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
        else:
            yield f"{name}, which git did not know, is not here as it was"


def _copy(folder: Path, target: Path) -> None:
    def left_out(_: str, names: list[str]) -> set[str]:
        return set(names) & _NEVER

    shutil.copytree(folder, target, ignore=left_out, symlinks=True)
