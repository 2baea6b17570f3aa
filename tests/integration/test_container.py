"""The image, for real: built without a network, run as nobody in particular, called, stopped.

The base is Debian made by debootstrap, because no public registry is needed then. It is kept in
the cache folder of the user (``XDG_CACHE_HOME``), outside of the repository.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import polars as pl
import pytest
from tests.projects import Flights

from shipway.api.predict import infer_request
from shipway.contract import odcs
from shipway.contract.schema import Contract
from shipway.domain.names import new_id
from shipway.security.keys import issue

BASE = "localhost/shipway-test-base:bookworm"
ROWS = 1_000
READY_WITHIN_S = 60.0
# Of the machine's own, podman takes limits that a container in a container may not set.
LIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=10000:10000")

pytestmark = [
    pytest.mark.needs("podman"),
    pytest.mark.needs("buildah"),
    pytest.mark.needs("runc"),
    pytest.mark.needs("debootstrap"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("container"),
]


@dataclass(frozen=True)
class Container:
    """A running container of the flights model, and a key to it."""

    name: str
    client: httpx.Client
    key: str

    def infer(
        self, contract: Contract, rows: pl.DataFrame, *, key: str | None = None
    ) -> httpx.Response:
        wanted = [c.name for c in contract.request_columns if c.name in rows.columns]
        return self.client.post(
            f"/v2/models/{contract.model}/infer",
            json=infer_request(contract, rows.select(wanted)),
            headers={"Authorization": f"Bearer {key or self.key}"},
        )


def run(*command: str, environ: dict[str, str] | None = None) -> str:
    """What *command* prints; its error is the failure of the test."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environ or {})}
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout.strip()


def podman(*words: str) -> str:
    return run("podman", "--runtime", "runc", *words)


def cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "shipway-tests"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small Debian with Python as a local image; making it the first time takes a minute."""
    if os.geteuid() != 0:
        pytest.skip("debootstrap and containers in this test need root")
    if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode == 0:
        return BASE
    archive = cache_folder() / f"bookworm-{platform.machine()}.tar"
    if not archive.is_file():
        root = tmp_path_factory.mktemp("debian") / "root"
        packages = "--include=python3,python3-pip,ca-certificates"
        run("debootstrap", "--variant=minbase", packages, "bookworm", str(root))
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(f".{new_id()}")
        run("tar", "--directory", str(root), "--create", "--file", str(partial), ".")
        partial.replace(archive)
        shutil.rmtree(root)
    run("podman", "import", str(archive), BASE)
    return BASE


@pytest.fixture(scope="module")
def contract(flights: Flights) -> Contract:
    text = (flights.folder / "contract.yaml").read_text(encoding="utf-8")
    return odcs.load(text, source="contract.yaml")


@pytest.fixture(scope="module")
def thousand(flights: Flights) -> pl.DataFrame:
    return flights.later.gather_every(flights.later.height // ROWS).head(ROWS)


@pytest.fixture(scope="module")
def image(base: str, flights: Flights, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of the live version, built by the command that a user would type."""
    tag = f"localhost/shipway-test:{new_id()}"
    out = tmp_path_factory.mktemp("image") / "context"
    words = ["image", str(out), "--base", base, "--tool", "buildah", "--tag", tag]
    done = flights.run(*words, environ={"BUILDAH_ISOLATION": "chroot"})
    assert done.returncode == 0, done.stderr
    yield tag
    subprocess.run(["podman", "rmi", "--force", tag], capture_output=True, check=False)


@pytest.fixture(scope="module")
def container(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One container, to be asked only."""
    with running(image, tmp_path_factory.mktemp("keys")) as made:
        yield made


@pytest.fixture
def doomed(image: str, tmp_path: Path) -> Iterator[Container]:
    """A container of its own, to be stopped."""
    with running(image, tmp_path) as made:
        yield made


@contextmanager
def running(image: str, folder: Path) -> Iterator[Container]:
    """The image running, ready, with authentication on and the record of one key mounted."""
    secret, record = issue(
        scopes=("predict", "view"), now=datetime.now(UTC), random=os.urandom, name="test"
    )
    keys = folder / "keys.json"
    keys.write_bytes(msgspec.json.encode([record]))
    keys.chmod(0o644)  # another user reads it in there; it holds digests, not keys
    name, port = f"shipway-{new_id()}", free_port()
    mounted = f"{keys}:/run/secrets/shipway-keys.json:ro"
    published = f"127.0.0.1:{port}:8080"
    podman(
        "run", "--detach", "--name", name, *LIMITS, "--volume", mounted,
        "--publish", published, image,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            made = Container(name, client, secret)
            wait_until_ready(made)
            yield made
    finally:
        subprocess.run(
            ["podman", "rm", "--force", "--time", "1", name], capture_output=True, check=False
        )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_ready(container: Container) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if container.client.get("/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    logs = subprocess.run(
        ["podman", "logs", container.name], capture_output=True, text=True, check=False
    )
    pytest.fail(f"not ready in {READY_WITHIN_S} s: {logs.stdout}{logs.stderr}")


def test_it_answers_as_offline(
    container: Container,
    flights: Flights,
    contract: Contract,
    thousand: pl.DataFrame,
    tmp_path: Path,
) -> None:
    """A thousand flights get the same scores and labels from the container as from `score`."""
    thousand.write_parquet(tmp_path / "in.parquet")
    flights.json("score", str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet"))
    offline = pl.read_parquet(tmp_path / "out.parquet")
    answer = container.infer(contract, thousand)
    assert answer.status_code == 200, answer.text
    outputs: dict[str, Any] = {one["name"]: one["data"] for one in answer.json()["outputs"]}
    labels, scores = (
        next(data for name, data in outputs.items() if name.startswith(word))
        for word in ("label", "score")
    )
    np.testing.assert_array_equal(labels, offline["prediction"].to_list())
    np.testing.assert_allclose(scores, offline["score"].to_list(), rtol=0, atol=1e-12)


def test_authentication_stays_on(
    container: Container, contract: Contract, thousand: pl.DataFrame
) -> None:
    """Without the key, or with another one, there is no answer."""
    rows = thousand.head(1)
    nobody = container.client.post(f"/v2/models/{contract.model}/infer", json={})
    assert nobody.status_code == 401
    other, _ = issue(scopes=("predict",), now=datetime.now(UTC), random=os.urandom)
    assert container.infer(contract, rows, key=other).status_code == 401
    assert container.infer(contract, rows).status_code == 200


def test_it_is_not_root(container: Container) -> None:
    """It runs as user 10001, which may write the store and nothing of the program."""
    assert podman("exec", container.name, "id", "-u") == "10001"
    assert podman("exec", container.name, "id", "-g") == "10001"
    writable = "test -w /var/lib/shipway && ! test -w /opt/shipway && ! test -w /srv/shipway"
    podman("exec", container.name, "sh", "-c", writable)


def test_image_holds_no_secret(image: str, container: Container) -> None:
    """The image names the version, its own user and signal, and no key is in its settings."""
    (inspected,) = json.loads(run("podman", "inspect", "--type", "image", image))
    settings = inspected["Config"]
    assert settings["User"] == "10001:10001"
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Labels"]["org.opencontainers.image.title"] == "flight-delay"
    assert not any("shipway_live_" in line for line in settings["Env"])
    assert container.key not in json.dumps(inspected)


def test_sigterm_drains(doomed: Container, contract: Contract, thousand: pl.DataFrame) -> None:
    """Every request that began before SIGTERM is answered, and the exit code is 0."""
    answered: list[tuple[float, int]] = []
    busy = threading.Barrier(5)

    def ask() -> None:
        first = True
        while True:
            began = time.monotonic()
            try:
                status = doomed.infer(contract, thousand).status_code
            except httpx.TransportError:
                status = 0
            answered.append((began, status))
            if status != 200:
                return
            if first:
                busy.wait(60)
                first = False

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    busy.wait(60)
    time.sleep(0.5)  # now four callers ask one request after the other
    asked_to_stop = time.monotonic()
    podman("kill", "--signal", "TERM", doomed.name)
    for caller in callers:
        caller.join(60)
    before = [status for began, status in answered if began < asked_to_stop]
    assert len(before) >= 8
    assert set(before) == {200}
    assert podman("wait", doomed.name) == "0"
