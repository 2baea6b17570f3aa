"""Who one is to a registry, by the environment alone."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from shipway.errors import ConfigError
from shipway.exchange.credentials import NOBODY, Credentials, credentials_for

REGISTRY = "registry.example:5000"
ANNA = Credentials(user="anna", password="open: sesame")


def auth_file(path: Path, *registries: str) -> str:
    """A file as podman and docker write it, with Anna's login at *registries*."""
    packed = base64.b64encode(b"anna:open: sesame").decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": {name: {"auth": packed} for name in registries}}))
    return str(path)


def test_nothing_said_is_nobody() -> None:
    """Without variables and files one is nobody, and sends nothing."""
    assert credentials_for(REGISTRY, {}) == NOBODY
    assert NOBODY.basic == ""


@pytest.mark.parametrize(
    ("variable", "path"),
    [
        ("REGISTRY_AUTH_FILE", "auth.json"),
        ("XDG_RUNTIME_DIR", "containers/auth.json"),
        ("DOCKER_CONFIG", "config.json"),
        ("HOME", ".docker/config.json"),
    ],
)
def test_logins_of_podman_and_docker_are_used(tmp_path: Path, variable: str, path: str) -> None:
    """Each place where a login is kept is read, for its own registry alone."""
    written = auth_file(tmp_path / path, REGISTRY)
    environ = {variable: written if variable.endswith("FILE") else str(tmp_path)}
    assert credentials_for(REGISTRY, environ) == ANNA
    assert credentials_for("registry.example", environ) == NOBODY


def test_variables_come_first(tmp_path: Path) -> None:
    """What is set for this registry wins over a file, and is not sent to another."""
    environ = {
        "REGISTRY_AUTH_FILE": auth_file(tmp_path / "auth.json", REGISTRY, "other.example"),
        "SHIPWAY_REGISTRY_HOST": REGISTRY,
        "SHIPWAY_REGISTRY_TOKEN": "t0ken",
    }
    assert credentials_for(REGISTRY, environ) == Credentials(token="t0ken")
    assert credentials_for("other.example", environ) == ANNA


@pytest.mark.parametrize(
    "environ",
    [
        {"SHIPWAY_REGISTRY_TOKEN": "t0ken"},
        {"SHIPWAY_REGISTRY_HOST": REGISTRY, "SHIPWAY_REGISTRY_USER": "anna"},
        {"SHIPWAY_REGISTRY_HOST": REGISTRY, "SHIPWAY_REGISTRY_PASSWORD": "x"},
    ],
)
def test_half_a_login_is_told(environ: dict[str, str]) -> None:
    """A secret for no registry, and a name without its password, are errors that name no secret."""
    with pytest.raises(ConfigError) as caught:
        credentials_for(REGISTRY, environ)
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"auths": {"registry.example:5000": {"auth": "%"}}}'])
def test_a_file_that_is_none_keeps_nothing(tmp_path: Path, text: str) -> None:
    """A damaged file is as good as none: it is not ours."""
    (tmp_path / "auth.json").write_text(text)
    environ = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    assert credentials_for(REGISTRY, environ) == NOBODY


def test_a_password_is_not_shown() -> None:
    """Neither a traceback nor a log shows a secret."""
    assert "sesame" not in repr(ANNA)
    assert "t0ken" not in repr(Credentials(token="t0ken"))
