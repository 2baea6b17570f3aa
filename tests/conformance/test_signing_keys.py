"""What every place where a signing key lies keeps to."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.model_signers import CURVES, new_key

from shipway.errors import EnvironmentFailure, ToolMissing, UsageError
from shipway.security.curves import read_private_key
from shipway.security.signatures import Signer, SigningKey, read_signature
from shipway.security.signing_keys import LOCAL_KEY, Surroundings, local_key, open_key

PROGRAM = """
import sys
from pathlib import Path
from shipway.security.curves import read_private_key

key = read_private_key(Path(sys.argv[1]).read_bytes(), where="a module")
if sys.argv[2] == "public":
    sys.stdout.write(key.public.pem)
else:
    sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read()))
"""


def in_memory(_: Path, pem: bytes) -> SigningKey:
    return read_private_key(pem, where="a test")


def in_a_file(folder: Path, pem: bytes) -> SigningKey:
    (folder / "key.pem").write_bytes(pem)
    return open_key("file:key.pem", Surroundings(folder))


def in_a_variable(folder: Path, pem: bytes) -> SigningKey:
    return open_key("env:KEY", Surroundings(folder, {"KEY": pem.decode()}))


def behind_a_program(folder: Path, pem: bytes) -> SigningKey:
    """As with a hardware module or a key service: the private key is never in our process."""
    (folder / "hidden.pem").write_bytes(pem)
    (folder / "module.py").write_text(PROGRAM)
    return open_key(f"command:'{sys.executable}' module.py hidden.pem", Surroundings(folder))


def in_the_store(folder: Path, pem: bytes) -> SigningKey:
    (folder / LOCAL_KEY).parent.mkdir()
    (folder / LOCAL_KEY).write_bytes(pem)
    return local_key(folder)


PLACES: dict[str, Callable[[Path, bytes], SigningKey]] = {
    "memory": in_memory,
    "file": in_a_file,
    "env": in_a_variable,
    "command": behind_a_program,
    "store": in_the_store,
}
DIGESTS = {"model.onnx": "11" * 32}


@pytest.mark.parametrize("place", list(PLACES))
class TestSigningKey:
    """The port's promises, one a test."""

    @pytest.mark.parametrize("curve", list(CURVES))
    def test_its_signatures_are_of_its_public_key(
        self, place: str, curve: str, tmp_path: Path
    ) -> None:
        """What it signs verifies with the key that it gives as its public one, on every curve."""
        key, pem = new_key(curve)
        opened = PLACES[place](tmp_path, pem)
        assert opened.public == key.public
        assert opened.public.signed(b"message", opened.sign(b"message"))
        assert not opened.public.signed(b"another", opened.sign(b"message"))
        bundle = Signer(opened).sign("fraud", DIGESTS)
        assert read_signature(bundle, key.public.pem).identity == Signer(opened).identity

    def test_nothing_of_it_is_shown(self, place: str, tmp_path: Path) -> None:
        """Its ``repr`` has nothing of the private key in it."""
        _, pem = new_key()
        shown = repr(PLACES[place](tmp_path, pem))
        assert not any(line in shown for line in pem.decode().splitlines() if line)


def test_the_key_of_a_store_is_made_once_and_for_its_user_alone(tmp_path: Path) -> None:
    """At its first use a key is made that only its user may read; from then on it is that one."""
    made = local_key(tmp_path)
    assert local_key(tmp_path).public == made.public
    assert stat.S_IMODE((tmp_path / LOCAL_KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / LOCAL_KEY).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("pkcs11:token=a", "nothing that is installed opens a key of the kind 'pkcs11'"),
        ("file:none.pem", "cannot be read"),
        ("file:other.pem", "is no private key in PEM"),
        ("file:rsa.pem", "is not of the curve"),
        ("env:NONE", "the variable NONE"),
        ("env:BAD", "is no private key in PEM"),
        ("command:'", "is no command"),
    ],
)
def test_what_is_no_key_is_refused(address: str, says: str, tmp_path: Path) -> None:
    """An address that leads to no key is refused with what to do, and with nothing of a key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    (tmp_path / "other.pem").write_text("secret")
    (tmp_path / "rsa.pem").write_bytes(
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(UsageError, match=says) as caught:
        open_key(address, Surroundings(tmp_path, {"BAD": "secret"}))
    assert "secret" not in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import sys; sys.exit('no token in the reader')", "no token in the reader"),
        ("print('nothing')", "none"),
        ("pass", "exit code 0"),
    ],
)
def test_a_program_that_fails_is_told(program: str, says: str, tmp_path: Path) -> None:
    """What a program that signs last said is in the error, and nothing is signed."""
    (tmp_path / "module.py").write_text(program)
    key = open_key(f"command:'{sys.executable}' module.py", Surroundings(tmp_path))
    with pytest.raises(EnvironmentFailure, match=says):
        Signer(key).sign("fraud", DIGESTS)


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A program that is missing is named."""
    key = open_key("command:no-such-module", Surroundings(tmp_path))
    with pytest.raises(ToolMissing, match="no-such-module"):
        key.sign(b"message")


def test_a_key_that_signs_with_another_than_it_shows_signs_nothing(tmp_path: Path) -> None:
    """What does not verify by the key's own public part is never stored as a signature."""
    shown, signing = new_key()[0], new_key()[0]

    class Mixed:
        public = shown.public

        def sign(self, message: bytes) -> bytes:
            return signing.sign(message)

    with pytest.raises(EnvironmentFailure, match="not a signature by it"):
        Signer(Mixed()).sign("fraud", DIGESTS)
