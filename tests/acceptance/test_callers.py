"""Whoever the settings know may call: a whole server that takes tokens, and holds to rates."""

from __future__ import annotations

import httpx
from cryptography import x509
from tests.certificates import CLIENT, Authority, client_context, tls_files
from tests.issuers import AUDIENCE, local_issuer, public, token
from tests.projects import Project
from tests.serving_rig import eventually

BODY = {
    "inputs": [
        {"name": "age", "shape": [1], "datatype": "INT64", "data": [40]},
        {"name": "fee", "shape": [1], "datatype": "FP64", "data": [30.0]},
        {"name": "city", "shape": [1], "datatype": "BYTES", "data": ["Lima"]},
    ]
}
AUTH = """
[serve]
workers = 2

[auth]
issuer = "{issuer}"
audience = "{audience}"
scopes = ["ml.read = predict", "ml.ops = view"]
refresh_s = 0.1
requests_per_s = 0.01
burst = 5
"""


def test_a_server_that_takes_tokens(live: Project) -> None:
    """Both ports take the issuer's tokens, all workers count together, and keys still open."""
    with local_issuer() as local:
        file = live.folder / "shipway.toml"
        said = AUTH.format(issuer=local.url, audience=AUDIENCE)
        file.write_text(file.read_text() + said)
        with live.served() as record:
            infer = f"{record.url}/v2/models/churn/infer"
            status = f"{record.control_url}/v1/status"

            def post(text: str) -> httpx.Response:
                headers = {"Authorization": f"Bearer {text}"}
                return httpx.post(infer, json=BODY, headers=headers)

            def get(text: str) -> int:
                return httpx.get(status, headers={"Authorization": f"Bearer {text}"}).status_code

            eventually(lambda: get(token(local.url, scope="ml.ops")) == 200)
            assert get(token(local.url)) == 403
            assert get(token(local.url, exp=1)) == 401
            eventually(lambda: post(token(local.url, sub="first")).status_code == 200)
            assert post(token(local.url, scope="ml.ops")).status_code == 403
            assert post(token(local.url, aud="other")).status_code == 401
            answers = [200]
            while answers[-1] != 429:
                answers.append(post(token(local.url, sub="busy")).status_code)
            assert answers[1:].count(200) == 5
            secret = live.new_key()
            eventually(lambda: post(secret).status_code == 200)
            local.keys = [public("EC", 1)]
            eventually(lambda: post(token(local.url, sub="second")).status_code == 401)


def test_a_server_that_takes_certificates_alone(live: Project) -> None:
    """Without keys, both ports know callers by certificates, and those alone that are named."""
    authority = Authority()
    folder = live.folder
    tls_files(folder, authority, client_ca=authority.write(folder))
    said = (
        "\n[serve]\nauthentication = false\n"
        'tls_certificate = "server.pem"\ntls_key = "server.key"\ntls_client_ca = "authority.pem"\n'
        '[auth]\ncertificates = ["dns:batch.example = predict", "dns:ops.example = view"]\n'
    )
    file = folder / "shipway.toml"
    file.write_text(file.read_text() + said)
    shown = {
        name: client_context(
            folder, authority, authority.issue(name, usage=CLIENT, also=[x509.DNSName(name)])
        )
        for name in ("batch.example", "ops.example", "other.example")
    }
    with live.served() as record:
        infer = f"{record.url}/v2/models/churn/infer"
        status = f"{record.control_url}/v1/status"
        for name, expected in (("batch", (200, 403)), ("ops", (403, 200)), ("other", (401, 401))):
            with httpx.Client(verify=shown[f"{name}.example"]) as client:
                told = client.post(infer, json=BODY).status_code, client.get(status).status_code
            assert told == expected, name
        secret = live.new_key("--scope", "admin")
        with httpx.Client(verify=shown["batch.example"]) as client:
            headers = {"Authorization": f"Bearer {secret}"}
            assert client.post(infer, json=BODY, headers=headers).status_code == 401


def test_without_joserfc_nothing_starts(live: Project) -> None:
    """A server that cannot check the tokens it should take does not start, and says what to do."""
    (live.folder / "joserfc.py").write_text("raise ImportError")
    file = live.folder / "shipway.toml"
    file.write_text(file.read_text() + AUTH.format(issuer="https://a.example", audience="b"))
    done = live.run("serve", environ={"PYTHONPATH": str(live.folder)})
    assert done.returncode == 4, done.stderr
    assert 'pip install "shipway[jwt]"' in done.stderr
