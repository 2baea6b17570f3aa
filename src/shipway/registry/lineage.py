"""Where a version comes from: the code with its uncommitted change, packages, the machine.

Git is asked with everything off by which a repository's own configuration could run a program:
hooks, file-system monitors, filters, external diffs and text conversions. A folder without git,
or without a repository that git trusts, has an empty record and is no error.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path, PurePosixPath

import msgspec

from shipway.domain.digests import digest_of, digest_of_file
from shipway.registry.records import CodeRecord, DataRecord, Lineage, Making

DIFF_FILE = "uncommitted.patch"
"""The name under which a version keeps the uncommitted change that it was made with."""

UNTRACKED = b"# untracked "
"""How a line of it begins that tells of a file which git does not know, by digest and path."""
NOT_KEPT = b"# the change is not kept: "
"""How it begins when the change was too large to keep."""

_GIT_TIMEOUT_S = 30.0
_LARGEST_HASHED_BYTES = 16 << 20
_LARGEST_DIFF_BYTES = 32 << 20
_STORE = ".shipway"
SAFE_SETTINGS = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "--no-optional-locks",
)
_PLAIN_DIFF = (
    "diff",
    "HEAD",
    "--binary",
    "--full-index",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--ignore-submodules=all",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


@dataclass(frozen=True, slots=True)
class Captured:
    """What was found: ``diff`` are the bytes to keep as :data:`DIFF_FILE`, empty when clean."""

    code: CodeRecord
    command: tuple[str, ...]
    packages: dict[str, str]
    python: str
    platform: str
    diff: bytes = field(default=b"", repr=False)

    def lineage(
        self,
        *,
        data: Sequence[DataRecord] = (),
        source_model_digest: str = "",
        source_model_type: str = "",
        parameters: Mapping[str, str | int | float | bool | None] | None = None,
        parent: int | None = None,
        making: Making | msgspec.UnsetType = msgspec.UNSET,
    ) -> Lineage:
        """The record to publish, with what only the packer knows."""
        return Lineage(
            data=tuple(data),
            code=self.code if self.code.commit or self.code.dirty else None,
            source_model_digest=source_model_digest,
            source_model_type=source_model_type,
            parameters=dict(parameters or {}),
            command=self.command,
            python=self.python,
            platform=self.platform,
            packages=self.packages,
            parent=parent,
            making=making,
        )


def capture(folder: Path, *, command: Sequence[str], environ: Mapping[str, str]) -> Captured:
    """What *folder* and this process are made of; *environ* says where git and its home are.

    Equal code, packages and machine give an equal answer: no time, user or path is in it.
    """
    code, diff = _code(folder, environ)
    return Captured(
        code=code,
        command=tuple(command),
        packages=installed_packages(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=_platform(),
        diff=diff,
    )


def installed_packages() -> dict[str, str]:
    """The version of every installed distribution, by its normalised name (PEP 503)."""
    described = (each.metadata for each in distributions())  # parsed anew at each access
    found = {
        str(one["Name"]).lower().replace("_", "-").replace(".", "-"): str(one["Version"])
        for one in described
        if one["Name"]
    }
    return dict(sorted(found.items()))


def _platform() -> str:
    """System, machine and C library: what binary wheels depend on, without the kernel's build."""
    libc = "".join(platform.libc_ver())
    parts = (platform.system().lower(), platform.machine(), libc)
    return "-".join(part for part in parts if part)


def _code(folder: Path, environ: Mapping[str, str]) -> tuple[CodeRecord, bytes]:
    git = Git(folder, environ)
    top = git.text("rev-parse", "--show-toplevel")
    if not top:
        return CodeRecord(), b""
    git = Git(Path(top), environ, without_filters(git))
    commit = git.text("rev-parse", "--verify", "--quiet", "HEAD")
    diff = git.run(*_PLAIN_DIFF) if commit else b""
    if diff is None or len(diff) > _LARGEST_DIFF_BYTES:
        # Too large to keep whole: its digest still tells two of them apart.
        diff = NOT_KEPT + digest_of(diff or b"").encode() + b"\n"
    untracked = git.run("ls-files", "--others", "--exclude-standard", "-z") or b""
    diff += b"".join(_untracked(Path(top), untracked))
    record = CodeRecord(
        commit=commit,
        branch=git.text("symbolic-ref", "--quiet", "--short", "HEAD"),
        dirty=bool(diff),
        diff_digest=digest_of(diff) if diff else "",
    )
    return record, diff


def _untracked(top: Path, listing: bytes) -> Iterator[bytes]:
    """One line a file that git does not know: its digest and path, never its content.

    Large files have their size in place of the digest, so that data lying about costs no time.
    """
    for raw in sorted(filter(None, listing.split(b"\0"))):
        name = os.fsdecode(raw)
        path = top / name
        if _STORE in PurePosixPath(name).parts or path.is_symlink() or not path.is_file():
            continue
        try:
            size = path.stat().st_size
            mark = digest_of_file(path) if size <= _LARGEST_HASHED_BYTES else f"{size} bytes"
        except OSError:
            mark = "unreadable"
        yield UNTRACKED + b"%s %s\n" % (mark.encode(), raw.replace(b"\n", b"\\n"))


def without_filters(git: Git) -> dict[str, str]:
    """Settings that empty every clean, smudge and process filter that is configured."""
    names = git.run("config", "--name-only", "-z", "--get-regexp", r"^filter\..*") or b""
    drivers = {os.fsdecode(name.rpartition(b".")[0]) for name in names.split(b"\0") if name}
    empty = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return {f"{driver}.{key}": value for driver in sorted(drivers) for key, value in empty.items()}


class Git:
    """Git in one folder, with everything off that could run a program of the repository's."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], settings: Mapping[str, str] | None = None
    ) -> None:
        kept = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
        self._environ = {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        # Not by -c, which would split a filter's name at the "=" that a hostile one can have.
        for index, (name, value) in enumerate((settings or {}).items()):
            self._environ[f"GIT_CONFIG_KEY_{index}"] = name
            self._environ[f"GIT_CONFIG_VALUE_{index}"] = value
        self._environ["GIT_CONFIG_COUNT"] = str(len(settings or {}))
        self._start = ("git", *SAFE_SETTINGS, "-C", str(folder), "--no-pager")

    def run(self, *arguments: str) -> bytes | None:
        """What git prints; None if it is not there, fails, or takes longer than 30 s."""
        try:
            done = subprocess.run(
                [*self._start, *arguments],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_GIT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def text(self, *arguments: str) -> str:
        """What git prints, as text without the newline; "" if it failed."""
        return os.fsdecode(self.run(*arguments) or b"").strip()
