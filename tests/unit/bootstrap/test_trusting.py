"""From settings to a policy, and what is kept from those who need it not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.model_signers import new_chain

from shipway.bootstrap.trusting import signer_for, trust_policy, without_signing_key
from shipway.config.trust import SignSettings, TrustChoice, TrustSettings
from shipway.errors import ConfigError
from shipway.security.trust import TrustMode

WHO = f"key:{'1' * 64}"


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        (TrustSettings(), TrustMode.PRESENT),
        (TrustSettings(identities=(f"* = {WHO}",)), TrustMode.REQUIRE),
        (TrustSettings(mode=TrustChoice.WARN, identities=(f"* = {WHO}",)), TrustMode.WARN),
        (TrustSettings(mode=TrustChoice.OFF, identities=(f"* = {WHO}",)), TrustMode.OFF),
    ],
)
def test_naming_an_identity_requires_it(
    settings: TrustSettings, mode: TrustMode, tmp_path: Path
) -> None:
    """Where somebody is named, nothing else is loaded, unless the settings say otherwise."""
    assert trust_policy(settings, tmp_path).mode is mode


def test_a_certificate_keeps_its_equals_signs(tmp_path: Path) -> None:
    """What stands before the first equals sign is the pattern, all the rest the identity."""
    who = "certificate:CN=release,O=Example by CN=Example CA"
    settings = TrustSettings(identities=(f"fraud-*={who}",))
    assert trust_policy(settings, tmp_path).identities == (("fraud-*", who),)


@pytest.mark.parametrize(
    ("content", "says"), [(b"no", "cannot be read"), (b"-" * 70_000, "larger"), (None, "cannot be")]
)
def test_authorities_that_are_none_are_refused(
    content: bytes | None, says: str, tmp_path: Path
) -> None:
    """A file of authorities that is absent, no PEM or a whole trust store is told at once."""
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        trust_policy(TrustSettings(authorities="ca.pem"), tmp_path)


def test_authorities_are_found_from_the_folder_of_the_settings(tmp_path: Path) -> None:
    """The policy holds the certificates, so that a process needs no file of the project."""
    root = new_chain().root
    (tmp_path / "ca.pem").write_bytes(root)
    assert trust_policy(TrustSettings(authorities="ca.pem"), tmp_path).authorities == root.decode()


def test_a_server_gets_no_signing_key(tmp_path: Path) -> None:
    """The variable that holds the key is kept from the server's processes; it signs nothing."""
    chain = new_chain()
    sign, environ = SignSettings(key="env:MY_KEY"), {"MY_KEY": chain.key.decode(), "PATH": "/bin"}
    assert without_signing_key(sign, environ) == {"PATH": "/bin"}
    assert without_signing_key(SignSettings(), environ) == environ
    signer = signer_for(sign, home=tmp_path / "home", folder=tmp_path, environ=environ)
    assert signer.key.public == chain.signer.key.public
    assert not (tmp_path / "home").exists()
