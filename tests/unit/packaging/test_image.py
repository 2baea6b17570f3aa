"""A build context is whole, the same every time, and inert whatever it is given."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

import pytest

import shipway
from shipway.errors import (
    ConflictError,
    EnvironmentFailure,
    MissingPackage,
    NameNotAllowed,
    UsageError,
)
from shipway.packaging.image import ImageContext, build, build_context
from shipway.packaging.own_wheel import write_wheel
from shipway.registry.records import Version

HOSTILE = ["a\nRUN id", "a b", "$(id)", "{{ 7*7 }}", '"; ONBUILD RUN id', "a\\", "`id`", "", "A"]
MakeVersion = Callable[..., Version]


def pip_that_finds_everything(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Stands in for the registry: an empty wheel of everything that is asked for."""
    folder = Path(command[command.index("--dest") + 1])
    for pin in (word for word in command if "==" in word):
        name, version = pin.split("==")
        (folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_bytes(pin.encode())
    return subprocess.CompletedProcess(list(command), 0, "", "")


def one_file_home(home: Path) -> None:
    (home / "metadata.sqlite3").write_bytes(b"store")


def context(
    out: Path,
    version: Version,
    *,
    app: Mapping[str, bytes] | None = None,
    extras: Sequence[str] = (),
    base: str = "python:3.11-slim",
    port: int = 8080,
    force: bool = False,
    run: Callable[[Sequence[str]], subprocess.CompletedProcess[str]] = pip_that_finds_everything,
) -> ImageContext:
    return build_context(
        out,
        version=version,
        app={"shipway.toml": b"[model]\n"} if app is None else app,
        export_home=one_file_home,
        extras=extras,
        base=base,
        port=port,
        force=force,
        run=run,
    )


def files_of(folder: Path) -> dict[str, tuple[bytes, float]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_context_holds_everything(tmp_path: Path, make_version: MakeVersion) -> None:
    """The folder has the Dockerfile, the lock, the wheels with our own, the settings, the store."""
    made = context(tmp_path / "image", make_version())
    names = set(files_of(made.folder))
    assert {"Dockerfile", "README.md", "requirements.txt"} <= names
    assert {"app/shipway.toml", "home/metadata.sqlite3"} <= names
    assert f"wheels/shipway-{distribution('shipway').version}-py3-none-any.whl" in names
    lock = (made.folder / "requirements.txt").read_text()
    wheels = [name for name in names if name.startswith("wheels/")]
    assert len(lock.splitlines()) == len(wheels) == len(made.packages) + 1
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", x) for x in lock.splitlines())


def test_what_serving_needs_beside_the_model(tmp_path: Path, make_version: MakeVersion) -> None:
    """Where the settings take tokens, what checks them is installed as well, and not elsewhere."""
    plain = context(tmp_path / "plain", make_version())
    taking = context(tmp_path / "taking", make_version(), extras=["jwt"])
    added = {pin.name for pin in taking.packages} - {pin.name for pin in plain.packages}
    assert {"joserfc", "cryptography"} <= added


def test_an_image_has_its_store_within(tmp_path: Path, make_version: MakeVersion) -> None:
    """Whatever store the settings name, an image opens its own unless it is told otherwise."""
    made = context(tmp_path / "image", make_version())
    lines = (made.folder / "Dockerfile").read_text().splitlines()
    told = {line.strip(" \\") for line in lines}
    assert {"SHIPWAY_STORE__URL=", "SHIPWAY_STORE__BLOBS="} <= told


def test_dockerfile_is_safe_to_run(tmp_path: Path, make_version: MakeVersion) -> None:
    """Every instruction is exec form, the user is a number, and installing needs digests."""
    made = context(tmp_path / "image", make_version())
    lines = (made.folder / "Dockerfile").read_text().splitlines()
    programs = [x.split(" ", 1)[1] for x in lines if x.startswith(("RUN", "ENTRYPOINT", "CMD"))]
    assert len(programs) == 6
    assert all(isinstance(json.loads(program), list) for program in programs)
    assert [x for x in lines if x.startswith("USER")] == ["USER 10001:10001"]
    assert "STOPSIGNAL SIGTERM" in lines
    install = next(program for program in programs if "install" in program)
    assert {"--no-index", "--require-hashes"} <= set(json.loads(install))


def test_context_is_deterministic(tmp_path: Path, make_version: MakeVersion) -> None:
    """The same version gives the same bytes and dates in every file."""
    first = context(tmp_path / "one", make_version())
    second = context(tmp_path / "two", make_version())
    assert files_of(first.folder) == files_of(second.folder)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_refused(tmp_path: Path, make_version: MakeVersion, hostile: str) -> None:
    """A model name, digest, format or base image that is not one stops the build, unwritten."""
    out = tmp_path / "image"
    with pytest.raises(NameNotAllowed):
        context(out, make_version(model=hostile))
    with pytest.raises(UsageError):
        context(out, make_version(digest=hostile))
    with pytest.raises(UsageError):
        context(out, make_version(spec_format=hostile))
    with pytest.raises(UsageError):
        context(out, make_version(), base=hostile)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\\b", "a\0b"])
def test_files_stay_in_their_folder(tmp_path: Path, make_version: MakeVersion, name: str) -> None:
    """A file name that leaves the working folder is refused."""
    with pytest.raises(UsageError, match="name of a file"):
        context(tmp_path / "image", make_version(), app={name: b""})


def test_privileged_port_refused(tmp_path: Path, make_version: MakeVersion) -> None:
    """A port that only root may open is refused before anything is fetched."""
    with pytest.raises(UsageError, match="port 80"):
        context(tmp_path / "image", make_version(), port=80)


def test_other_folders_are_left_alone(tmp_path: Path, make_version: MakeVersion) -> None:
    """A folder that holds something else is never replaced, not even by force."""
    out = tmp_path / "image"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(ConflictError, match="not made by Shipway"):
        context(out, make_version(), force=True)
    assert (out / "thesis.txt").read_text() == "years of work"


def test_own_folder_needs_force(tmp_path: Path, make_version: MakeVersion) -> None:
    """A build context is replaced when force is given, and only then."""
    out = tmp_path / "image"
    context(out, make_version())
    with pytest.raises(ConflictError, match="already there"):
        context(out, make_version())
    assert context(out, make_version(), force=True).folder == out


def test_failure_leaves_nothing(tmp_path: Path, make_version: MakeVersion) -> None:
    """When a wheel cannot be had there is no half context."""

    def broken(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(list(command), 1, "", "no")

    with pytest.raises(EnvironmentFailure):
        context(tmp_path / "image", make_version(), run=broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("docker", ["docker", "build"]),
        ("podman", ["podman", "build"]),
        ("buildah", ["buildah", "bud"]),
    ],
)
def test_build_calls_the_tool(tmp_path: Path, tool: str, words: list[str]) -> None:
    """Each tool is called without a network, with the tag and the folder, and without a shell."""
    commands: list[list[str]] = []

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        commands.append(list(command))
        return subprocess.CompletedProcess(list(command), 0, "", "")

    assert build(tmp_path, tool=tool, tag="flight-delay:3", run=run) == "flight-delay:3"
    assert commands == [[*words, "--network", "none", "--tag", "flight-delay:3", str(tmp_path)]]


def test_build_tells_why_it_failed(tmp_path: Path) -> None:
    """A failing tool's last words are in the error; an unknown tool is refused."""

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(list(command), 125, "", "no space left on device")

    with pytest.raises(EnvironmentFailure, match="no space left"):
        build(tmp_path, tool="podman", tag="x:1", run=run)
    with pytest.raises(UsageError, match="docker, podman, buildah"):
        build(tmp_path, tool="make", tag="x:1", run=run)


def test_own_wheel_can_be_installed(tmp_path: Path) -> None:
    """Our own wheel holds the code with its templates, its metadata and a complete RECORD."""
    package = Path(shipway.__file__).parent
    wheel = write_wheel(distribution("shipway"), package, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next(name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
        record = archive.read(f"{info}/RECORD").decode().splitlines()
    assert {"shipway/errors.py", "shipway/packaging/templates/Dockerfile.j2"} <= names
    assert {f"{info}/METADATA", f"{info}/WHEEL", f"{info}/entry_points.txt"} <= names
    assert len(record) == len(names)
    assert not any("__pycache__" in name for name in names)


def test_code_brings_what_it_pins(tmp_path: Path, make_version: MakeVersion) -> None:
    """A model of one's own code has its pinned packages in the image, and what those need."""
    names = ("pandas", "tomlkit")
    library = {name: distribution(name).version for name in names}
    made = context(tmp_path / "image", make_version(spec_format="python", library=library))
    lock = (made.folder / "requirements.txt").read_text()
    for name in (*names, "python-dateutil"):  # the last is needed by pandas alone
        assert f"{name}=={distribution(name).version} --hash=" in lock
    assert "import shipway, shipway.runtimes.python" in (made.folder / "Dockerfile").read_text()


def test_code_that_was_packed_elsewhere_needs_its_packages_here(
    tmp_path: Path, make_version: MakeVersion
) -> None:
    """An image is not made with another version of a package than the code was packed with."""
    version = make_version(spec_format="python", library={"tomlkit": "0.0.1"})
    with pytest.raises(MissingPackage, match=r"tomlkit==0\.0\.1") as caught:
        context(tmp_path / "image", version)
    assert caught.value.next_step == 'pip install "tomlkit==0.0.1"'
    assert not (tmp_path / "image").exists()
