"""Threats from what a server fetches and from what it is built of: addresses, images, packages."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest
import yaml
from tests.stores import Store
from tests.unit.packaging.test_image import HOSTILE, context
from tests.unit.security.test_fetching import BAD_URLS, Nowhere

from shipway.errors import ConfigError, IssuerUnreachable, NameNotAllowed, UsageError
from shipway.monitoring.senders import check_address
from shipway.packaging.ci import Workflow, github_workflow
from shipway.packaging.references import check_base_image, check_tag
from shipway.security.fetching import MOST_BYTES, fetch, is_forbidden

FORBIDDEN = (
    "169.254.169.254", "169.254.170.2", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::",
    "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
)  # fmt: skip
HERE = ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1")


class _Answering(BaseHTTPRequestHandler):
    """Answers what its server says, and remembers who asked."""

    def do_GET(self) -> None:
        answering: _Server = self.server  # type: ignore[assignment]
        answering.hits.append(self.path)
        self.send_response(answering.status)
        for name, value in answering.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answering.body)))
        self.end_headers()
        self.wfile.write(answering.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(HTTPServer):
    """A server on loopback that plays somebody."""

    status = 200
    body = b"{}"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.hits: list[str] = []
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


@contextmanager
def answering() -> Iterator[_Server]:
    """A server within the block."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_server_side_request_forgery(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address, however it is spelled, resolved or redirected, leads a fetch to this machine or
    to a cloud's metadata, and what is too long or no answer is none.
    """
    with answering() as metadata, answering() as issuer:
        assert fetch(issuer.url) == b"{}"
        for status in (301, 302, 303, 307, 308, 404, 500):
            issuer.status, issuer.headers = status, {"Location": metadata.url}
            with pytest.raises(IssuerUnreachable, match=f"answered {status}"):
                fetch(issuer.url)
        issuer.status, issuer.body = 200, b"x" * (MOST_BYTES + 1)
        with pytest.raises(IssuerUnreachable, match="longer than"):
            fetch(issuer.url)
        assert metadata.hits == []
    nowhere = Nowhere()
    monkeypatch.setattr("socket.create_connection", nowhere.connect)
    for url in BAD_URLS:
        with pytest.raises(IssuerUnreachable):
            fetch(url, resolve=nowhere.resolve)
        assert nowhere.connected == [], url
    for address in (*FORBIDDEN, *HERE):
        assert is_forbidden(ipaddress.ip_address(address)) == (address in FORBIDDEN), address
        for others in ((), ("93.184.216.34",)):
            nowhere.addresses = (*others, address)
            with pytest.raises(IssuerUnreachable, match="nothing is fetched"):
                fetch("https://keys.example/", resolve=nowhere.resolve)
    assert nowhere.connected == []
    nowhere.addresses = ("93.184.216.34",)
    with pytest.raises(IssuerUnreachable, match="nobody is here"):
        fetch("https://keys.example/", resolve=nowhere.resolve)
    assert nowhere.connected == [("93.184.216.34", 443)]  # the address looked at, not the name
    for url in ("gopher://x/", "file:///etc/passwd", "http://hooks.example/", "//x", "https://"):
        with pytest.raises(ConfigError):
            check_address(url)


INJECTED = (
    *HOSTILE, "python:3.11\nRUN id", "python:3.11 AS x", "-v", "--privileged", "a:1\r\nUSER 0",
    "${X}:1", "a:1;id", "a:1|id", "a:1&&id", "a:1 # x", "'a':1", "a:1\tb", "a:1\u2028b", "A:1",
    "../a:1", "/a:1", "a//b:1", "a:", ":1", "a@sha256:x", "é:1", "python:3.11\x00", "a:1\\",
    f"{'a' * 600}:1",
)  # fmt: skip


def test_command_and_template_injection_in_image_build(tmp_path: Path) -> None:
    """No text of a manifest, a setting or a command becomes an instruction of a Dockerfile or a
    step of a workflow: it is refused, and nothing is written.
    """
    store = Store(tmp_path / "store")
    version = store.publish()
    store.registry.close()
    before = {path.name for path in tmp_path.iterdir()}

    def with_format(text: str) -> None:
        spec = msgspec.structs.replace(version.manifest.spec, format=text)
        made = msgspec.structs.replace(version.manifest, spec=spec)
        context(tmp_path / "image", msgspec.structs.replace(version, manifest=made))

    def replaced(**changed: str) -> None:
        context(tmp_path / "image", msgspec.structs.replace(version, **changed))

    for text in INJECTED:
        with pytest.raises(UsageError):
            check_base_image(text)
        with pytest.raises(UsageError):
            check_tag(text)
        with pytest.raises(UsageError):
            context(tmp_path / "image", version, base=text)
        with pytest.raises((NameNotAllowed, UsageError)):
            replaced(model=text + " ")
        with pytest.raises(UsageError):
            replaced(digest=text)
        with pytest.raises(UsageError):
            with_format(text)
    for reference in ("python", "python:latest", "localhost/x", "localhost:5000/x:latest"):
        with pytest.raises(UsageError):
            check_base_image(reference)
    for text in (
        "a\nb",
        "$(id)",
        "`id`",
        "a;b",
        "${{ x }}",
        '"',
        "'",
        "\u2028",
        "../x",
        "a/../../b",
        "",
    ):
        for field in ("model", "table", "requirements", "branch", "python"):
            plain = {"model": "m.onnx", "table": "t.csv"}
            if field == "branch" and ".." in text:
                continue  # which is a name like another, within quotes
            with pytest.raises(UsageError):
                github_workflow(Workflow(**{**plain, field: text}))  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == before


def test_dependency_and_ci_supply_chain(tmp_path: Path) -> None:
    """Every package that is installed is locked by its digest, here and in an image; an action is
    named by its commit, may only read, and keeps no credentials.
    """
    for path in sorted((Path(__file__).parents[2] / "requirements").glob("*.txt")):
        entries = re.split(r"\n(?=\S)", path.read_text("utf-8"))
        pins = [entry for entry in entries if entry.strip() and not entry.startswith("#")]
        assert pins
        for pin in pins:
            assert re.match(r"[A-Za-z0-9._\[\],-]+==\S+", pin), (path, pin)
            assert "--hash=sha256:" in pin, (path, pin)
    text = github_workflow(Workflow(model="m.onnx", table="t.csv"))
    flow = yaml.safe_load(text)
    assert flow["permissions"] == {"contents": "read"}
    assert set(flow[True]) == {"pull_request", "push"}
    (job,) = flow["jobs"].values()
    used = [step for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", one["uses"]) for one in used)
    assert used[0]["with"]["persist-credentials"] is False
    assert "secrets." not in text
    assert "--require-hashes" in text
    store = Store(tmp_path / "store")
    made = context(tmp_path / "image", store.publish())
    store.registry.close()
    docker = (made.folder / "Dockerfile").read_text("utf-8")
    (install,) = [line for line in docker.splitlines() if '"install"' in line]
    assert {"--no-index", "--require-hashes"} <= set(install.replace('"', "").split(", "))
    assert "USER 10001:10001" in docker
    for line in (made.folder / "requirements.txt").read_text("utf-8").splitlines():
        assert re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line)
