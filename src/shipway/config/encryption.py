"""The settings of ``[encryption]``, declared as ``settings`` does: who can read what is stored."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Recipient = Annotated[str, Meta(pattern=r"^age1[a-z0-9]{58}$")]
KeyPlace = Annotated[str, Meta(pattern=r"^(file|env):\S")]


class EncryptionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For whom versions are encrypted when they are published, and with what they are opened."""

    recipients: Annotated[
        tuple[Recipient, ...],
        Meta(
            description="the public keys for which versions are encrypted; none: they are not",
            extra={"allowed": 'a list of text, as in ["age1…"]'},
        ),
    ] = ()
    identities: Annotated[
        tuple[KeyPlace, ...],
        Meta(
            description="where the secret keys are that open them",
            extra={"allowed": 'a list of text: "file:PATH" or "env:VARIABLE"'},
        ),
    ] = ()
    opened_in: Annotated[
        str,
        Meta(
            description="the folder in memory that encrypted versions are opened into",
            extra={"advanced": True, "default": "the system's own, /dev/shm on Linux"},
        ),
    ] = ""
