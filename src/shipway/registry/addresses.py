"""Where the parts of a store are that are not in its folder."""

from __future__ import annotations

import msgspec

from shipway.config.addresses import password_of, without_password


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """The database of the records and the prefix of the blobs; "" where the folder has them."""

    records: str = ""
    blobs: str = ""

    def __repr__(self) -> str:
        told = self.told
        return f"Addresses(records={told.records!r}, blobs={told.blobs!r})"

    @property
    def told(self) -> Addresses:
        """The same without the password, as anybody may read it."""
        return Addresses(records=without_password(self.records), blobs=self.blobs)

    @property
    def password(self) -> str | None:
        """The password in the address of the database, if it is there."""
        return password_of(self.records)


IN_FOLDER = Addresses()
"""A store that needs nothing but its folder."""
