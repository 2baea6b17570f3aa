"""The ways by which a signed version comes from one place to another, each as people take it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.stores import NOW

from shipway.registry.backup import back_up
from shipway.registry.current import cached_versions, open_current
from shipway.registry.export import export_version
from shipway.registry.opening import open_registry
from shipway.registry.records import Version
from shipway.registry.restoring import restore
from shipway.security.trust import Signature, TrustPolicy

Files = dict[str, bytes]
Copy = Callable[[Path, Path, Version, TrustPolicy], Files]
"""From the store in the first folder to the second; what the version's files are when opened."""


def by_folder(home: Path, target: Path, version: Version, trust: TrustPolicy) -> Files:
    """The whole folder of the store is copied."""
    shutil.copytree(home, target)
    return opened(target, version, trust)


def by_blobs(home: Path, target: Path, version: Version, trust: TrustPolicy) -> Files:
    """The same without the copies of files, which are made anew from the blobs."""
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("cache"))
    return opened(target, version, trust)


def by_backup(home: Path, target: Path, version: Version, trust: TrustPolicy) -> Files:
    """A backup is made and restored."""
    archive = target.with_suffix(".tar")
    with open_current(home, trust=trust) as registry:
        back_up(registry, archive, beside=home, by="anna", now=NOW)
    restore(archive, target)
    archive.unlink()
    return opened(target, version, trust)


def by_export(home: Path, target: Path, version: Version, trust: TrustPolicy) -> Files:
    """The version alone leaves for an image."""
    with open_current(home, trust=trust) as registry:
        export_version(registry, version, target, by="anna", now=NOW)
    return opened(target, version, trust)


def by_cache(home: Path, target: Path, version: Version, trust: TrustPolicy) -> Files:
    """The copies of files alone, as a worker has them while the store is away."""
    shutil.copytree(home, target)
    opened(target, version, trust)
    found = cached_versions(target, trust).open_files(version)
    return {path: file.read_bytes() for path, file in found.items()}


def by_publishing(home: Path, target: Path, version: Version, trust: TrustPolicy) -> Files:
    """The same bytes are published in another store, and the signature is handed over."""
    with open_current(home, trust=trust) as registry:
        files = {path: one.read_bytes() for path, one in registry.open_files(version).items()}
        signatures: list[Signature] = [
            registry.signing.stored(record) for record in registry.signing.records(version)
        ]
    with open_registry(target) as other:
        copy = other.publish(version.manifest, files, by="ben", now=NOW)
        for signature in signatures:
            other.signing.add(copy, signature, by="ben", now=NOW)
    return opened(target, copy, trust)


COPIES: Mapping[str, Copy] = {
    "folder": by_folder,
    "blobs": by_blobs,
    "backup": by_backup,
    "export": by_export,
    "cache": by_cache,
    "publishing": by_publishing,
}


def opened(home: Path, version: Version, trust: TrustPolicy) -> Files:
    """The files of *version* in the store *home*, as a worker with the policy opens them."""
    with open_current(home, trust=trust) as registry:
        found = registry.open_files(registry.version(version.model, version.number))
        return {path: file.read_bytes() for path, file in found.items()}
