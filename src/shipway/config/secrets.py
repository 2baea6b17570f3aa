"""Settings that open a door: shown in part, and never kept with a version.

Whoever knows the address of a chat's webhook can write into that chat, and the address of a
database may have a password in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from shipway.config.addresses import HIDDEN, without_password

SECRETS = frozenset({"alerts.webhook", "store.url"})
"""The settings that are secret, by name."""


def shown(name: str, value: Any) -> Any:
    """*value* of the setting *name* as it may be shown: of a secret address only whose it is.

    >>> shown("alerts.webhook", "https://chat.example/T0/B1/x")
    'https://chat.example/***'
    """
    if name not in SECRETS or not value:
        return value
    if name == "store.url":
        return without_password(str(value))
    parts = urlsplit(str(value))
    return f"{parts.scheme}://{parts.hostname or ''}/{HIDDEN}"


def command_without_secrets(words: Sequence[str]) -> tuple[str, ...]:
    """The *words* of a command, with what they set of a secret setting left out.

    >>> command_without_secrets(["pack", "--set", "alerts.webhook=https://chat.example/x"])
    ('pack', '--set', 'alerts.webhook=***')
    """
    return tuple(_told(word) for word in words)


def _told(word: str) -> str:
    start, equals, _ = word.partition("=")
    name, more = (start, equals) if start in SECRETS else ("", "")
    if start == "--set":  # --set=alerts.webhook=…
        inner = word.partition("=")[2].partition("=")[0]
        name, more = (f"{start}={inner}", "=") if inner in SECRETS else ("", "")
    return f"{name}{more}{HIDDEN}" if name and more else word
