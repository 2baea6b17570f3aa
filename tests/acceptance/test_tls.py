"""TLS as a person meets it: settings, the command line as a caller, and files that are wrong."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta

import grpc
import httpx
import pytest
from tests.certificates import CLIENT, Authority, Pair, client_context
from tests.grpc_rig import ask
from tests.projects import Project
from tests.serving_rig import eventually

ROW = json.dumps({"age": 44, "fee": 40.0, "city": "Lima"})
DAY = timedelta(days=1)


def set_up(project: Project, authority: Authority, *, more: str = "") -> None:
    """Certificates in the project's folder, named in its settings."""
    authority.issue().write(project.folder, "server")
    authority.write(project.folder)
    settings = project.folder / "shipway.toml"
    lines = '[serve]\ntls_certificate = "server.pem"\ntls_key = "server.key"\n'
    settings.write_text(settings.read_text() + lines + more)


def test_the_command_line_speaks_tls(live: Project) -> None:
    """A project's own server is believed by its certificate, another by its authority alone."""
    authority = Authority()
    set_up(live, authority)
    key = live.new_key()
    with live.served() as record:
        assert record.url.startswith("https://")
        assert live.call("predict", ROW, "--key", key).code == 0
        url = ("--url", record.url)
        refused = live.call("predict", ROW, "--key", key, *url)
        assert refused.code == 4
        assert "SHIPWAY_CA" in refused.err
        environ = {"SHIPWAY_CA": str(live.folder / "authority.pem")}
        assert live.call("predict", ROW, "--key", key, *url, environ=environ).code == 0
        nothing = {"SHIPWAY_CA": str(live.folder / "model.joblib")}
        assert live.call("predict", ROW, "--key", key, *url, environ=nothing).code == 2


def test_a_server_that_asks_for_certificates(live: Project) -> None:
    """The command line shows the certificate that it is given, and says so where it has none."""
    authority = Authority()
    set_up(live, authority, more='tls_client_ca = "authority.pem"\n')
    pair = authority.issue("anna", usage=CLIENT)
    mine = live.folder / "mine.pem"
    mine.write_bytes(pair.certificate + pair.key)
    key = live.new_key()
    with live.served():
        refused = live.call("predict", ROW, "--key", key)
        assert refused.code == 4
        environ = {"SHIPWAY_CLIENT_CERTIFICATE": str(mine)}
        assert live.call("predict", ROW, "--key", key, environ=environ).code == 0


@pytest.mark.parametrize("how", ["expired", "absent", "half"])
def test_certificates_that_are_wrong_are_told(live: Project, how: str) -> None:
    """`serve` says which file is wrong before anything starts."""
    authority = Authority()
    set_up(live, authority)
    if how == "expired":
        pair = authority.issue(begins_in=-3 * DAY, ends_in=-DAY)
        pair.write(live.folder, "server")
    elif how == "absent":
        (live.folder / "server.pem").unlink()
    else:
        settings = live.folder / "shipway.toml"
        settings.write_text(settings.read_text().replace("tls_certificate", "#"))
    done = live.call("serve", "--port", "0", "--control-port", "0")
    assert done.code == 2, done.said
    says = {"expired": "has expired", "absent": "server.pem", "half": "needs serve.tls_cert"}
    assert says[how] in done.err
    assert "Next: " in done.err


def test_a_revocation_list_counts_over_grpc(live: Project) -> None:
    """With a revocation list, gRPC lets in who is not on it, and nobody who is."""
    authority = Authority()
    set_up(live, authority)
    bad, good = authority.issue("eve", usage=CLIENT), authority.issue("anna", usage=CLIENT)
    clients = authority.write(live.folder, "clients", revoked=bad.number)
    with (live.folder / "shipway.toml").open("a") as settings:
        settings.write(f'tls_client_ca = "{clients.name}"\n')
    check = "/grpc.health.v1.Health/Check"
    with live.served() as record:

        def code(pair: Pair) -> grpc.StatusCode:
            shown = grpc.ssl_channel_credentials(authority.certificate, pair.key, pair.certificate)
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.secure_channel(record.grpc_url, shown, options) as line:
                return ask(line, check).code

        eventually(lambda: code(good) is grpc.StatusCode.OK)
        assert code(bad) is grpc.StatusCode.UNAVAILABLE


def test_new_settings_on_sighup(live: Project) -> None:
    """On SIGHUP settings, certificates and keys are read again; ports stay, and are told of."""
    authority = Authority()
    set_up(live, authority)
    trust = client_context(live.folder, authority)
    with live.served() as record:
        settings = live.folder / "shipway.toml"
        before = settings.read_text()
        settings.write_text(before + "max_body_bytes = 2048\nworkers = 3\n")
        os.kill(record.pid, signal.SIGHUP)
        log = live.folder / "server.log"
        eventually(lambda: "every process was replaced" in log.read_text())
        assert "serve.workers" in log.read_text()
        key = {"Authorization": f"Bearer {live.new_key()}", "Content-Type": "application/json"}
        url = f"{record.url}/v2/models/churn/infer"
        reply = httpx.post(url, content=b" " * 4096, headers=key, verify=trust)
        assert reply.status_code == 413
        settings.write_text(before + "max_body_bytes = nonsense\n")
        os.kill(record.pid, signal.SIGHUP)
        eventually(lambda: "nothing is replaced" in log.read_text())
        assert httpx.get(f"{record.url}/readyz", verify=trust).status_code == 200
