"""Keys of age for tests, and keyrings of them."""

from __future__ import annotations

from shipway.security.sealing import Keyring, new_identity


class Reader:
    """Somebody with a pair of keys."""

    def __init__(self) -> None:
        self.secret, self.public = new_identity()


def keyring(*readers: Reader, to: tuple[Reader, ...] | None = None, opened_in: str = "") -> Keyring:
    """What *readers* hold, sealing for all of them, or for those of *to*."""
    sealed_for = readers if to is None else to
    return Keyring(
        tuple(one.public for one in sealed_for),
        lambda: tuple(one.secret for one in readers),
        opened_in,
    )
