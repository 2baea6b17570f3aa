"""Frames that only who holds a key can read, in files that are still appended to.

A **key frame** says with which key the frames after it are encrypted, up to the next key frame;
it holds that key wrapped for the recipients (``security.sealing``), bound to the file's name. A
file has one at its beginning, and one more wherever another process begins to append. Every frame
after it is ``nonce ‖ ChaCha20-Poly1305`` (RFC 8439) under a random nonce, authenticated with its
place after the key frame, so that none can be altered, moved or left out of the middle unseen.
Frames before the first key frame are plain: a file that was begun without a key stays readable.

``cryptography`` comes with the extra ``encrypt`` and is imported when a key is met.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from shipway.errors import MissingPackage
from shipway.monitoring.framing import Scan, frame, scan
from shipway.security.sealing import Keyring, Opener, Place, Sealer

MARK = b"shipway-key-1\n"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_KEY_FRAME_BYTES = 4096
"""A key frame is filled up to a multiple of this, so that wrapping it anew moves nothing."""


class KeyFrame(msgspec.Struct, frozen=True):
    """What a key frame says after its mark."""

    key: str
    recipients: tuple[str, ...]


class FrameSealer:
    """Encrypts frames for the *recipients* of *sealer*, in the file *name* of what *kind* keeps.

    It has a key of its own, which is in ``key_frame``. Place it once before what it sealed.
    """

    def __init__(self, sealer: Sealer, kind: str, name: str) -> None:
        key = os.urandom(_KEY_BYTES)
        self._cipher = _cipher(key)
        self._next = 0
        wrapped = sealer.wrap(base64.b64encode(key).decode(), place_of(kind, name))
        self.key_frame = frame(key_payload(KeyFrame(wrapped, sealer.recipients)))

    def seal(self, payload: bytes) -> bytes:
        """The next *payload* encrypted; say :meth:`kept` once it is in the file."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed: bytes = self._cipher.encrypt(nonce, payload, _at(self._next))
        return nonce + sealed

    def kept(self) -> None:
        """What was sealed last is in the file; before, the next one would take its place."""
        self._next += 1


@dataclass(slots=True)
class _Reading:
    """How far a file was opened: its present key, and the place of the next frame after it."""

    cipher: Any = None
    next: int = 0
    end: int = 0


class FrameOpener:
    """Opens what *keyring* can of the files of one *kind*, each from its beginning on.

    Of a file whose frames were never encrypted nothing is asked and everything is given.
    """

    def __init__(self, kind: str, keyring: Keyring) -> None:
        self._kind, self._keyring = kind, keyring
        self._opener: Opener | None = None
        self._files: dict[str, _Reading] = {}

    def follows(self, name: str, start: int) -> bool:
        """Whether the file *name* has been read up to byte *start*, as far as keys need it."""
        return start == 0 or (name in self._files and self._files[name].end == start)

    def open(self, name: str, found: Scan, start: int) -> tuple[list[bytes], int]:
        """The payloads that were *found* from byte *start* of *name* on; how many are damaged.

        Raises :class:`~shipway.errors.KeyNotHeld` where no key opens them, and
        :class:`~shipway.errors.SealBroken` for a key frame that was altered or is of another file.
        """
        reading = _Reading() if start == 0 else self._files[name]
        payloads: list[bytes] = []
        damaged, base = 0, reading.next
        for payload, place in zip(found.payloads, found.places, strict=True):
            if payload.startswith(MARK):
                reading.cipher, base = self._key(name, payload), -place - 1
            elif reading.cipher is None:
                payloads.append(payload)
            else:
                opened = _opened(reading.cipher, payload, base + place)
                damaged += opened is None
                payloads += [] if opened is None else [opened]
        reading.next = base + len(found.payloads) + found.damaged
        reading.end = start + found.end
        self._files[name] = reading
        return payloads, damaged

    def _key(self, name: str, payload: bytes) -> Any:
        told = read_key(payload)
        if self._opener is None:
            self._opener = self._keyring.opener()
        held = self._opener.unwrap(told.key, place_of(self._kind, name))
        return _cipher(base64.b64decode(held.identity))


def sealed_file(content: bytes, sealer: Sealer, kind: str, name: str) -> bytes:
    """*content* as a whole file: a key frame and one encrypted frame."""
    frames = FrameSealer(sealer, kind, name)
    return frames.key_frame + frame(frames.seal(content))


def opened_file(data: bytes, keyring: Keyring, kind: str, name: str) -> bytes | None:
    """What :func:`sealed_file` made *data* of; None if it was altered or cut short."""
    payloads, damaged = FrameOpener(kind, keyring).open(name, scan(data), 0)
    return payloads[0] if len(payloads) == 1 and not damaged else None


def key_payload(told: KeyFrame) -> bytes:
    """The payload of a key frame that says *told*."""
    payload = MARK + msgspec.json.encode(told)
    short = -(len(payload) + 12) % _KEY_FRAME_BYTES  # with the header of the frame
    return payload + b" " * short


def read_key(payload: bytes) -> KeyFrame:
    """What the *payload* of a key frame says."""
    return msgspec.json.decode(payload.removeprefix(MARK), type=KeyFrame)


def place_of(kind: str, name: str) -> Place:
    """What the key of the file *name* is bound to."""
    return Place(model="", version=kind, path=name)


def key_frames(data: bytes) -> Iterator[KeyFrame]:
    """What the key frames in *data* say."""
    for payload in scan(data).payloads:
        if payload.startswith(MARK):
            yield read_key(payload)


def require_cipher() -> None:
    """Raise :class:`~shipway.errors.MissingPackage` where the extra encrypt is not installed."""
    _cipher(bytes(_KEY_BYTES))


def _opened(cipher: Any, payload: bytes, place: int) -> bytes | None:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415

    try:
        opened: bytes = cipher.decrypt(payload[:_NONCE_BYTES], payload[_NONCE_BYTES:], _at(place))
    except (InvalidTag, ValueError):
        return None
    return opened


def _at(place: int) -> bytes:
    return place.to_bytes(8, "big")


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415
            ChaCha20Poly1305,
        )
    except ImportError as error:
        raise MissingPackage.for_extra("cryptography", "encrypt", "encrypt events") from error
    return ChaCha20Poly1305(key)
