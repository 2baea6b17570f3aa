"""Sealing: what is altered, cut or moved gives nothing, and only those named can read."""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path

import msgspec
import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identities import Reader

from shipway.errors import ConfigError, KeyNotHeld, SealBroken
from shipway.security.sealing import (
    Keyring,
    Opener,
    Place,
    Sealed,
    Sealer,
    public_of,
    read_identities,
)

ANNA, BEN = Reader(), Reader()
PLACE = Place(model="fraud", version="sha256:" + "a" * 64, path="model.onnx")
CHUNK = 64 << 10
CONTENT = bytes(range(256)) * (3 * CHUNK // 256) + b"the end"
SEALED = Sealer((ANNA.public,)).seal(CONTENT, PLACE)
OPENER = Opener((ANNA.secret,))


def test_what_is_sealed_is_opened() -> None:
    """The holder of a key gets exactly what was sealed, and nothing of it shows before."""
    assert OPENER.open(SEALED.content, SEALED.key, PLACE) == CONTENT
    assert CONTENT[:64] not in SEALED.content
    assert ANNA.public == public_of(ANNA.secret)


@given(content=st.binary(max_size=300))
def test_any_content(content: bytes) -> None:
    """Whatever the bytes, none of them included."""
    sealed = Sealer((ANNA.public, BEN.public)).seal(content, PLACE)
    for reader in (ANNA, BEN):
        assert Opener((reader.secret,)).open(sealed.content, sealed.key, PLACE) == content


def test_each_file_has_its_own_key() -> None:
    """The same content for the same reader is never sealed to the same bytes."""
    again = Sealer((ANNA.public,)).seal(CONTENT, PLACE)
    assert again.content != SEALED.content
    with pytest.raises(SealBroken, match="not the one that its key is of"):
        OPENER.open(again.content, SEALED.key, PLACE)


@pytest.mark.parametrize("at", [0, 1, 16, CHUNK + 16, 2 * (CHUNK + 16), 3 * (CHUNK + 16)])
@pytest.mark.parametrize("rebound", [False, True])
def test_truncation_releases_nothing(at: int, *, rebound: bool) -> None:
    """Cut at any edge of a chunk it gives nothing, though the digest were made to fit."""
    body = len(SEALED.content) - sum(
        min(CHUNK, len(CONTENT) - start) + 16 for start in range(0, len(CONTENT), CHUNK)
    )
    cut = SEALED.content[: body + at]
    with pytest.raises(SealBroken):
        OPENER.open(cut, _rebound(SEALED, cut) if rebound else SEALED.key, PLACE)


@settings(max_examples=300)
@given(drawn=st.integers(0, 1 << 32))
def test_every_altered_bit_is_refused(drawn: int) -> None:
    """One bit anywhere in the file, though its digest were made to fit: nothing comes out."""
    small = _small()
    bit = drawn % (8 * len(small.content))  # the length of a header is random
    altered = bytearray(small.content)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        OPENER.open(bytes(altered), small.key, PLACE)
    with pytest.raises(SealBroken):
        OPENER.open(bytes(altered), _rebound(small, bytes(altered)), PLACE)


@settings(max_examples=300)
@given(drawn=st.integers(0, 1 << 32))
def test_every_altered_bit_of_a_wrapped_key_is_refused(drawn: int) -> None:
    """One bit anywhere in the wrapped key: it is broken, or for nobody who is here."""
    small = _small()
    raw = bytearray(base64.b64decode(small.key))
    bit = drawn % (8 * len(raw))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises((SealBroken, KeyNotHeld)):
        OPENER.open(small.content, base64.b64encode(bytes(raw)).decode(), PLACE)


@pytest.mark.parametrize(
    "other",
    [
        Place(model="other", version=PLACE.version, path=PLACE.path),
        Place(model=PLACE.model, version="sha256:" + "b" * 64, path=PLACE.path),
        Place(model=PLACE.model, version=PLACE.version, path="contract.yaml"),
    ],
)
def test_a_file_is_bound_to_its_place(other: Place) -> None:
    """A file and its key that were moved to another model, version or path are refused."""
    with pytest.raises(SealBroken, match="its wrapped key is that of"):
        OPENER.open(SEALED.content, SEALED.key, other)


@pytest.mark.parametrize("key", ["", "AAAA", "not base64!", "é"])
def test_what_is_no_wrapped_key(key: str) -> None:
    """Rubbish in the place of a key is told as such."""
    with pytest.raises(SealBroken, match="wrapped key"):
        OPENER.open(SEALED.content, key, PLACE)


def test_nobody_else_reads() -> None:
    """Without a key, or with another one, the error says what to do and holds no secret."""
    for opener in (Opener(()), Opener((BEN.secret,))):
        with pytest.raises(KeyNotHeld) as caught:
            opener.open(SEALED.content, SEALED.key, PLACE)
        assert "encryption.identities" in caught.value.next_step
        assert BEN.secret not in f"{caught.value} {opener!r}"


def test_rotation_leaves_the_file() -> None:
    """Wrapped anew, the same file opens for the new reader and for the old one no more."""
    key = Sealer((BEN.public,)).rewrap(SEALED.key, PLACE, OPENER)
    assert Opener((BEN.secret,)).open(SEALED.content, key, PLACE) == CONTENT
    with pytest.raises(KeyNotHeld):
        OPENER.open(SEALED.content, key, PLACE)


def test_identities_are_read(tmp_path: Path) -> None:
    """Secret keys come from files as age-keygen writes them, and from variables."""
    (tmp_path / "key.txt").write_text(f"# created: today\n# public key: x\n{ANNA.secret}\n\n")
    found = read_identities(("file:key.txt", "env:KEY"), tmp_path, {"KEY": BEN.secret})
    assert found == (ANNA.secret, BEN.secret)


@pytest.mark.parametrize("text", ["", "# only a comment", "AGE-SECRET-KEY-1WRONG", "\xff\xfe"])
def test_what_is_no_identity(text: str, tmp_path: Path) -> None:
    """What is no secret key is named by where it was sought, and never shown."""
    (tmp_path / "key.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        read_identities(("file:key.txt",), tmp_path, {})
    assert "file:key.txt" in caught.value.message
    assert "WRONG" not in str(caught.value)
    for missing in ("file:none.txt", "env:NONE"):
        with pytest.raises(ConfigError, match=missing):
            read_identities((missing,), tmp_path, {})


def test_what_is_no_recipient() -> None:
    """A public key that is none is refused before anything is sealed."""
    with pytest.raises(ConfigError, match="age1wrong"):
        Sealer(("age1wrong",))
    assert Keyring().sealer() is None


def _small() -> Sealed:
    return Sealer((ANNA.public,)).seal(b"forest" * 20, PLACE)


def _rebound(sealed: Sealed, content: bytes) -> str:
    """The key of *sealed* as one would be that knew the file key and the digest of *content*."""
    identity = pyrage.x25519.Identity.from_str(ANNA.secret)
    held = msgspec.json.decode(pyrage.decrypt(base64.b64decode(sealed.key), [identity]))
    held["digest"] = f"sha256:{sha256(content).hexdigest()}"
    wrapped = pyrage.encrypt(msgspec.json.encode(held), [identity.to_public()])
    return base64.b64encode(wrapped).decode()
