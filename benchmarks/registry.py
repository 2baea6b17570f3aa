"""Publishing a version, opening its files (hashed, and seen before), listing versions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

from benchmarks.figure import Figure
from benchmarks.flights import Workshop
from shipway.registry.opening import open_registry
from shipway.registry.records import Manifest

_VERSIONS = 20


def run(workshop: Workshop) -> Iterator[Figure]:
    """The flights model published as many versions into a store of its own."""
    project = workshop.project
    source = project.registry.version(project.model, 1)
    opened = project.registry.open_files(source)
    files = {name: path.read_bytes() for name, path in opened.items()}
    size_mb = sum(map(len, files.values())) / 1e6
    home = workshop.folder / "registry-benchmark"
    with open_registry(home) as registry:
        numbers = iter(range(1_000_000))

        def publish() -> None:
            manifest = _another(source.manifest, next(numbers))
            registry.publish(manifest, files, by="benchmark", now=datetime.now(UTC))

        note = f"{size_mb:.1f} MB, durable, blobs known"
        seconds = min(_seconds(publish) for _ in range(_VERSIONS))
        yield Figure("registry.publish", seconds * 1e3, "ms", note=note)
        listed = registry.versions(project.model)
        seconds = workshop.watch.seconds(lambda: registry.versions(project.model))
        yield Figure("registry.list", seconds * 1e3, "ms", note=f"{len(listed)} versions")
        start = time.perf_counter()
        registry.open_files(listed[0])
        cold = time.perf_counter() - start
        yield Figure("registry.open_cold", cold * 1e3, "ms", note=f"{size_mb:.1f} MB, cache empty")
        warm = workshop.watch.seconds(lambda: registry.open_files(listed[0]))
        yield Figure(
            "registry.open_warm", warm * 1e3, "ms", note=f"{size_mb:.1f} MB, verified again"
        )
        seconds = workshop.watch.seconds(registry.revision)
        yield Figure("registry.revision", seconds * 1e6, "µs", note="asked by workers all the time")
    shutil.rmtree(home)


def _another(manifest: Manifest, number: int) -> Manifest:
    """The same version but for a note, so that it gets a digest of its own."""
    return msgspec.structs.replace(manifest, notes=(f"copy {number}",))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
