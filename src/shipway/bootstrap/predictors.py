"""From a version in the registry to a predictor: files verified, model and contract loaded."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from shipway.contract import odcs
from shipway.contract.schema import Contract
from shipway.domain.events import EventSink, PredictionEvent
from shipway.inference.predictor import Predictor, ServedVersion
from shipway.registry.records import Manifest, Version
from shipway.registry.registry import Registry
from shipway.runtimes.loading import load_model
from shipway.runtimes.pickles import pickles_in
from shipway.runtimes.port import DEFAULT_LIMITS, ProcessLimits
from shipway.security.trust import Believed, TrustPolicy, check_pickles

CONTRACT_IN_VERSION = "contract.yaml"
SETTINGS_IN_VERSION = "shipway.toml"
_ONLY_DATA = frozenset({"onnx", "sklearn", "lightgbm", "xgboost"})
"""Formats whose loaders open their one file alone, and that as data."""


class Believing(Protocol):
    """Who judges whether a version is believed."""

    @property
    def trust(self) -> TrustPolicy:
        """By what policy."""

    def believe(self, version: Version) -> Believed:
        """By whom *version* is believed; raises :class:`~shipway.errors.NotBelieved`."""


class VersionFiles(Protocol):
    """Who has the files of versions, verified: a registry, or its copies alone."""

    @property
    def signing(self) -> Believing:
        """Who signed them, and is believed."""

    def open_files(self, version: Version) -> dict[str, Path]:
        """The files of *version* by their path in the manifest, verified and believed just now."""


class NoEvents:
    """An event sink for predictions that nobody is to remember: gates, batches, warm-ups."""

    def append(self, events: Sequence[PredictionEvent]) -> None:
        """Forget *events*."""


def contract_in(files: Mapping[str, Path], ref: str) -> Contract:
    """The contract among the verified *files* of the version *ref*."""
    text = files[CONTRACT_IN_VERSION].read_text(encoding="utf-8")
    return odcs.load(text, source=f"{ref} {CONTRACT_IN_VERSION}")


def contract_of(registry: Registry, version: Version) -> Contract:
    """The contract that *version* was published with, its bytes verified."""
    return contract_in(registry.open_files(version), version.ref)


def files_to_load(files_of: VersionFiles, version: Version) -> dict[str, Path]:
    """The files of *version*, verified, believed, and without a pickle that may not be opened.

    Raises :class:`~shipway.errors.IntegrityError` for what is not what was published, or not
    signed by whom the policy names, and :class:`~shipway.errors.PickleRefused`.
    """
    files = files_of.open_files(version)
    if version.manifest.spec.format in _ONLY_DATA:
        return files
    check_pickles(
        files_of.signing.trust,
        version.model,
        pickles_in(files),
        lambda: files_of.signing.believe(version),
        confined=version.manifest.spec.format == "python",
        what=version.ref,
    )
    return files


def predictor_of(
    files_of: VersionFiles,
    version: Version,
    *,
    sink: EventSink | None = None,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Predictor:
    """A predictor of *version*, every file of it verified on the way.

    One prediction may use so many *threads*.
    Raises :class:`~shipway.errors.IntegrityError` for a changed file and
    :class:`~shipway.errors.ModelError` for one that does not load.
    """
    files = files_to_load(files_of, version)
    served = served_version(
        version.manifest,
        contract_in(files, version.ref),
        endpoint=version.model,
        number=version.number,
        digest=version.digest,
    )
    return predictor_from(served, files, sink=sink, threads=threads, limits=limits)


def served_version(
    manifest: Manifest, contract: Contract, *, endpoint: str, number: int, digest: str = ""
) -> ServedVersion:
    """What the predictor must know of a version beside its model."""
    return ServedVersion(
        endpoint=endpoint,
        model=manifest.model,
        number=number,
        digest=digest,
        contract=contract,
        spec=manifest.spec,
        threshold=manifest.threshold,
        positive=manifest.objectives.positive,
        latency_p99_s=_latency_p99_s(manifest),
    )


def _latency_p99_s(manifest: Manifest) -> float | None:
    """The strictest objective for the 99th percentile of latency, in seconds."""
    targets = [
        one.at_most / 1000
        for one in manifest.objectives.objectives
        if one.metric == "latency_p99_ms" and one.at_most is not None
    ]
    return min(targets, default=None)


def predictor_from(
    served: ServedVersion,
    files: Mapping[str, Path],
    *,
    sink: EventSink | None = None,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Predictor:
    """A predictor of *served*, its model loaded from verified *files*."""
    model = load_model(served.spec, files, threads=threads, limits=limits)
    try:
        return Predictor(served, model, sink or NoEvents(), clock_ns=time.time_ns)
    except BaseException:
        model.close()
        raise
