"""Which blobs the records in a dump need, told from its lines."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shipway.domain.digests import digest_of
from shipway.registry.oci import NOTHING

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}", re.ASCII)
_LINE = msgspec.json.Decoder(tuple[str, dict[str, Any]])
_OF_INTEREST = (b'["versions"', b'["version_changes"', b'["signatures"', b'["seals"')


class _Version:
    """What one version needs: it cannot be without ``required``, and names ``mentioned`` too."""

    def __init__(self, row: dict[str, Any], mentioned: set[str]) -> None:
        self.own = {str(row["digest"]), str(row["image_digest"])}
        files = msgspec.json.decode(row["manifest"])["files"]
        self.required = self.own | {str(entry["digest"]) for entry in files}
        self.mentioned = mentioned
        self.sealed = self.deleted = False

    def seal(self, digest: str) -> None:
        """One of its files is encrypted as *digest*; all are, if one is."""
        if not self.sealed:
            self.sealed, self.required, self.mentioned = True, set(self.own), set(self.own)
        self.required.add(digest)
        self.mentioned.add(digest)


class Needs:
    """What has been read so far. A version's line comes before every other about it."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], _Version] = {}
        self._elsewhere: set[str] = set()

    @property
    def mentioned(self) -> set[str]:
        """Every digest that a record names anywhere: some are of blobs, some of tables.

        Those of the files of an encrypted version are left out, for they are not kept.
        """
        named = (version.mentioned for version in self._versions.values())
        return self._elsewhere.union(*named)

    @property
    def versions(self) -> dict[tuple[str, int], set[str]]:
        """The blobs that each version cannot be without, by model and number."""
        return {
            key: version.required for key, version in self._versions.items() if not version.deleted
        }

    @property
    def required(self) -> set[str]:
        """The blobs without which a version is not whole."""
        return set().union(*self.versions.values())

    def read(self, line: bytes) -> None:
        """Take in one line."""
        found = {digest.decode() for digest in _DIGEST.findall(line)}
        if line.startswith(b'["unneeded_blobs"'):
            return
        if not line.startswith(_OF_INTEREST):
            self._elsewhere |= found
            return
        table, row = _LINE.decode(line)
        key = (str(row["model"]), int(row["number"]))
        if table == "versions":
            self._versions[key] = _Version(row, found)
        elif table == "seals":
            self._versions[key].seal(str(row["digest"]))
        elif table == "signatures":
            own = {str(row["digest"]), str(row["image_digest"]), digest_of(NOTHING)}
            self._elsewhere |= own
            self._versions[key].own |= own
            self._versions[key].required |= own
        else:
            self._versions[key].deleted = row["action"] == "delete"
