"""What goes into an image is exactly what is installed, by name, version and digest."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import cast

import pytest

from shipway.errors import EnvironmentFailure, MissingPackage, ToolMissing
from shipway.packaging.locking import (
    Pin,
    fetch_wheels,
    installed_closure,
    locked_requirements,
    run_program,
)


class Installed:
    """A distribution as importlib.metadata shows it."""

    def __init__(self, version: str, *requires: str) -> None:
        self.version = version
        self.requires = list(requires)


def finder(table: Mapping[str, Installed]):  # type: ignore[no-untyped-def]
    def find(name: str) -> Distribution:
        if name not in table:
            raise PackageNotFoundError(name)
        return cast("Distribution", table[name])

    return find


TABLE = {
    "app": Installed("1", "A_b>=1", "web; extra == 'serve'", "boost; extra == 'gpu'"),
    "a-b": Installed("2.0", "c[fast]", "never; python_version < '3'"),
    "c": Installed("3.0", "a.b", "quick; extra == 'fast'", "slow; extra == 'slow'"),
    "quick": Installed("4.0"),
    "web": Installed("5.0"),
}


def test_closure_follows_extras_and_markers() -> None:
    """Extras are followed where asked for, false markers are not, and circles end."""
    pins = installed_closure("app", ["serve"], find=finder(TABLE))
    assert [str(pin) for pin in pins] == ["a-b==2.0", "c==3.0", "quick==4.0", "web==5.0"]


def test_closure_names_what_is_missing() -> None:
    """A requirement that is not installed is named, with the command that installs it."""
    with pytest.raises(MissingPackage, match="'boost' is not installed") as caught:
        installed_closure("app", ["gpu"], find=finder(TABLE))
    assert 'pip install "boost"' in caught.value.next_step


def test_closure_of_shipway_itself() -> None:
    """The server's closure holds what it needs and nothing of training or testing."""
    names = {pin.name for pin in installed_closure("shipway", ["serve"])}
    assert {"onnxruntime", "msgspec", "sqlalchemy", "uvloop"} <= names
    assert not names & {"shipway", "scikit-learn", "lightgbm", "pytest", "pandas", "onnx"}


def test_locked_requirements_digest_every_wheel(tmp_path: Path) -> None:
    """Each wheel has one sorted line with its version and SHA-256."""
    (tmp_path / "b_x-2.0-py3-none-any.whl").write_bytes(b"two")
    (tmp_path / "a-1.0-py3-none-any.whl").write_bytes(b"one")
    expected = [
        f"a==1.0 --hash=sha256:{hashlib.sha256(b'one').hexdigest()}",
        f"b-x==2.0 --hash=sha256:{hashlib.sha256(b'two').hexdigest()}",
    ]
    assert locked_requirements(tmp_path).splitlines() == expected


def test_locked_requirements_refuse_sources(tmp_path: Path) -> None:
    """A source archive among the wheels is named and refused."""
    (tmp_path / "a-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(EnvironmentFailure, match=r"a-1.0.tar.gz in the wheelhouse"):
        locked_requirements(tmp_path)


def test_wheelhouse_means_no_network(tmp_path: Path) -> None:
    """With a wheelhouse pip is told to use no index at all."""
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(list(command), 0, "", "")

    fetch_wheels([Pin("a", "1")], tmp_path, wheelhouse=tmp_path, run=run)
    (command,) = commands
    assert {"--no-index", "--no-deps", "a==1"} <= set(command)
    assert command[command.index("--only-binary") + 1] == ":all:"


def test_failing_pip_is_told_in_its_own_words(tmp_path: Path) -> None:
    """When pip fails, its last lines are in the message and a wheelhouse is the next step."""

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(list(command), 1, "", "ERROR: no matching a==1")

    with pytest.raises(EnvironmentFailure, match="no matching a==1") as caught:
        fetch_wheels([Pin("a", "1")], tmp_path, wheelhouse=None, run=run)
    assert "wheelhouse" in caught.value.next_step


def test_missing_program_is_named() -> None:
    """A program that is not there is an error with its name, not a traceback."""
    with pytest.raises(ToolMissing, match="no-such-program-here"):
        run_program(["no-such-program-here"])
