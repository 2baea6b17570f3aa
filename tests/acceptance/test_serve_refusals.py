"""What `serve` says when it cannot serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from shipway.api.project import open_project
from shipway.serving.status import read_server

if TYPE_CHECKING:
    from tests.projects import Flights

PORTS = {
    "SHIPWAY_SERVE__PORT": "0",
    "SHIPWAY_SERVE__CONTROL_PORT": "0",
    "SHIPWAY_SERVE__GRPC_PORT": "0",
}


@pytest.fixture
def project(flights: Flights, tmp_path: Path) -> Flights:
    """The published project, to be spoilt."""
    return flights.copy(tmp_path)


def test_a_damaged_live_version_is_told(project: Flights) -> None:
    """When the live version is not what was published `serve` says so, with exit code 4."""
    with open_project(project.folder, environ={}) as opened:
        version = opened.registry.version("flight-delay", 1)
    (entry,) = [one for one in version.manifest.files if one.path == "model.onnx"]
    name = entry.digest.removeprefix("sha256:")
    blob = project.folder / ".shipway" / "blobs" / "blobs" / "sha256" / name
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    for cached in (project.folder / ".shipway" / "cache").rglob("model.onnx"):
        cached.unlink()
    done = project.run("serve", environ=PORTS)
    assert done.returncode == 4, done.stderr
    assert "flight-delay@1" in done.stderr
    assert "differs from its manifest" in done.stderr
    assert "Next: " in done.stderr
    assert "Traceback" not in done.stderr
    assert read_server(project.folder / ".shipway" / "run") is None


@pytest.mark.parametrize("content", [None, "{}", "[{}]"])
def test_a_keys_file_that_is_none_is_told(project: Flights, content: str | None) -> None:
    """The mounted keys file is looked into before anything starts, from the project's folder."""
    if content is not None:
        (project.folder / "keys.json").write_text(content)
    environ = {**PORTS, "SHIPWAY_SERVE__KEYS_FILE": "keys.json"}
    done = project.run("serve", environ=environ)
    assert done.returncode == 2, done.stderr
    assert str(project.folder / "keys.json") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_keys_file_opens_the_door(flights: Flights, project: Flights, tmp_path: Path) -> None:
    """A key of elsewhere opens a server that mounts its record; one revoked here stays revoked."""
    file = str(project.folder / "keys.json")
    secret = flights.copy(tmp_path / "elsewhere").new_key("--export", file)
    revoked = project.json("keys", "create", "--name", "gone", "--export", file)
    project.json("keys", "revoke", revoked["id"])
    settings = project.folder / "shipway.toml"
    settings.write_text(settings.read_text() + '\n[serve]\nkeys_file = "keys.json"\n')
    with project.served() as record:
        done = project.call("predict", "data/test.parquet", "--key", secret, "--json")
        refused = project.call("predict", "data/test.parquet", "--key", revoked["secret"])
        labels = f"{record.control_url}/v1/status"
        headers = {"Authorization": f"Bearer {revoked['secret']}"}
        assert httpx.get(labels, headers=headers).status_code == 401
    assert done.document["rows"] > 0
    assert refused.code == 2
    assert "API key" not in (project.folder / "server.log").read_text()


def test_the_log_is_lines_of_json(project: Flights) -> None:
    """What the server's processes write on stderr is JSON, line by line, and names no key."""
    secret = project.new_key()
    with project.served() as record:
        project.run("predict", "data/test.parquet", "--key", secret)
        assert record.url
    lines = (project.folder / "server.log").read_text().splitlines()
    told = [line for line in lines if line.startswith("{")]
    assert all(msgspec.json.decode(line)["timestamp"].endswith("Z") for line in told)
    rest = [line for line in lines if not line.startswith("{")]
    assert len(rest) <= 4, rest  # what `serve` says to whoever started it
    assert secret not in "\n".join(lines)


def test_opening_predictions_opens_no_administration(project: Flights) -> None:
    """The control plane stays where it was when the predictions listen on another address."""
    project.json("keys", "create", "--name", "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPWAY_SERVE__HOST", "127.0.0.2")
        with project.served() as record:
            assert httpx.get(f"{record.url}/livez").status_code == 200
            assert record.url.startswith("http://127.0.0.2:")
            assert record.control_url.startswith("http://127.0.0.1:")
            elsewhere = record.control_url.replace("127.0.0.1", "127.0.0.2")
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{elsewhere}/livez")
