"""Which blobs the records in a dump need, told from its lines."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shipway.domain.digests import digest_of
from shipway.registry.oci import NOTHING

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}", re.ASCII)
_LINE = msgspec.json.Decoder(tuple[str, dict[str, Any]])
_OF_INTEREST = (b'["versions"', b'["version_changes"', b'["signatures"')


class Needs:
    """What has been read so far."""

    def __init__(self) -> None:
        self.mentioned: set[str] = set()
        """Every digest that a record names anywhere: some are of blobs, some of tables."""
        self.versions: dict[tuple[str, int], set[str]] = {}
        """The blobs that each version cannot be without, by model and number."""

        self._deleted: dict[tuple[str, int], set[str]] = {}

    @property
    def required(self) -> set[str]:
        """The blobs without which a version is not whole."""
        return set().union(*self.versions.values())

    def read(self, line: bytes) -> None:
        """Take in one line; a version's deletion comes after the version."""
        found = {digest.decode() for digest in _DIGEST.findall(line)}
        if not line.startswith(b'["unneeded_blobs"'):
            self.mentioned |= found
        if not line.startswith(_OF_INTEREST):
            return
        table, row = _LINE.decode(line)
        key = (str(row["model"]), int(row["number"]))
        if table == "versions":
            files = msgspec.json.decode(row["manifest"])["files"]
            own = {str(entry["digest"]) for entry in files}
            self.versions[key] = own | {str(row["digest"]), str(row["image_digest"])}
        elif table == "signatures":
            own = {str(row["digest"]), str(row["image_digest"]), digest_of(NOTHING)}
            self.mentioned |= own
            self.versions.get(key, self._deleted.get(key, set())).update(own)
        elif row["action"] == "delete":
            self._deleted[key] = self.versions.pop(key, set())
        else:
            self.versions[key] = self._deleted.pop(key, set())
