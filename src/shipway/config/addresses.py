"""Addresses of databases, and the password that may stand in one."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

HIDDEN = "***"


def parts_of(address: str) -> SplitResult | None:
    """The parts of *address*; None where it cannot be told where one ends.

    That is so when a password has signs in it that part an address, not written as ``%XX``.
    """
    try:
        parts = urlsplit(address)
        sound = (parts.port or 1) > 0 and parts.netloc.count("@") <= 1
    except ValueError:
        return None
    return parts if sound else None


def password_of(address: str) -> str | None:
    """The password in *address*, None without one."""
    parts = parts_of(address)
    if parts is None or parts.password is None:
        return None
    return unquote(parts.password)


def without_password(address: str) -> str:
    """*address* as it may be shown; of one that cannot be read only its scheme.

    >>> without_password("postgresql://anna:secret@db.example/shipway")
    'postgresql://anna@db.example/shipway'
    """
    parts = parts_of(address)
    if not address:
        return ""
    if parts is None:
        return f"{address.partition('://')[0]}://{HIDDEN}"
    who, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{who.partition(':')[0]}{at}{host}").geturl()
