"""The guards of what is encrypted where it is stored, and of what is not written at all."""

from __future__ import annotations

from tests.threats.guard import Guard

ENCRYPTION = (
    Guard(
        "a wrapped key is bound to its place",
        "security/sealing.py",
        "        if held.place != place:\n",
        "        if False:\n",
    ),
    Guard(
        "a wrapped key is bound to its bytes",
        "security/sealing.py",
        "        if digest_of(content) != held.digest:\n",
        "        if False:\n",
    ),
    Guard(
        "opened in memory",
        "registry/cache.py",
        "where = self._opened_in() if seals else self._folder",
        "where = self._folder",
    ),
    Guard(
        "opened for this user alone",
        "registry/cache.py",
        "            own(where)\n",
        "            pass\n",
    ),
    Guard(
        "a folder that others may look into",
        "registry/opened_folder.py",
        "status.st_uid == os.getuid() and closed",
        "status.st_uid == os.getuid()",
    ),
    Guard(
        "a collection in a folder that others have prepared",
        "registry/cache.py",
        "            if holds_opened(opened):\n",
        "            if True:\n",
    ),
    Guard(
        "plain files go after a version was encrypted",
        "registry/sql/ledger.py",
        "query.where(NOT_DELETED, ~_IS_SEALED)",
        "query.where(NOT_DELETED)",
    ),
    Guard(
        "plain copies go after a version was encrypted",
        "registry/encrypting.py",
        "    registry.stores[2].forget_plain(version)\n",
        "",
    ),
    Guard(
        "what is encrypted stays so",
        "registry/sealing.py",
        "        if sealer is None and not found:\n",
        "        if sealer is None:\n",
    ),
    Guard(
        "a rotation overwrites no newer seal",
        "registry/sql/seals.py",
        "(_COLUMNS.path == seal.path) & (_COLUMNS.digest == seal.digest)",
        "_COLUMNS.path == seal.path",
    ),
    Guard(
        "a key is not kept in what it opens",
        "api/encryption.py",
        "    if file.resolve().is_relative_to(project.home.resolve()):\n",
        "    if False:\n",
    ),
    Guard(
        "events are encrypted",
        "monitoring/journal.py",
        "                payload = self._frames.seal(payload)\n",
        "                pass\n",
    ),
    Guard(
        "a frame is bound to its place",
        "monitoring/sealed.py",
        '    return place.to_bytes(8, "big")\n',
        '    return b""\n',
    ),
    Guard(
        "a key is bound to its file",
        "monitoring/sealed.py",
        '    return Place(model="", version=kind, path=name)\n',
        '    return Place(model="", version=kind, path="")\n',
    ),
    Guard(
        "segments are encrypted",
        "monitoring/segments.py",
        "if (sealer := keyring.sealer()) is not None:",
        "if (sealer := None) is not None:",
    ),
    Guard(
        "labels are encrypted",
        "monitoring/labels.py",
        "        if self._sealer is None:\n",
        "        if True:\n",
    ),
)
PERSONAL = (
    Guard(
        "events have no personal value",
        "inference/predictor.py",
        "            if self._protection is not None:\n",
        "            if False:\n",
    ),
    Guard(
        "a quarantine has no personal value",
        "batch/job.py",
        "protected(chunk.raw(places), self.protection)",
        "chunk.raw(places)",
    ),
    Guard(
        "what is scored has no personal value",
        "batch/job.py",
        "frame, rows = protected(ready.frame, self.protection), ready.rows",
        "frame, rows = ready.frame, ready.rows",
    ),
    Guard(
        "a violation does not show the value",
        "contract/violations.py",
        "shown(value) if column.personal is None or value is None else HIDDEN",
        "shown(value)",
    ),
    Guard(
        "a contract has no personal value",
        "contract/odcs_columns.py",
        "    _check_personal(column, custom)\n",
        "",
    ),
    Guard(
        "the key of hashes goes into no backup",
        "registry/backup.py",
        '"known.json", "personal", "run"',
        '"known.json", "run"',
    ),
    Guard(
        "a hash is of its column",
        "security/personal.py",
        'message = column.encode() + b"\\0" + text_of(value).encode()',
        "message = text_of(value).encode()",
    ),
    Guard(
        "what encrypts is not kept plain",
        "security/personal.py",
        "        if encrypts and not kept.wrapped:\n",
        "        if False:\n",
    ),
)
