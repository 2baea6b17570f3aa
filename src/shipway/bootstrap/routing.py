"""Where a worker learns what to answer with: the registry, seen as a routing source."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from shipway.bootstrap.fetching import FetchedTrial
from shipway.bootstrap.keys import read_keys_file, with_mounted
from shipway.bootstrap.memory import Known, Memory, memory_of
from shipway.bootstrap.predictors import contract_in, files_to_load, served_version
from shipway.bootstrap.trials import Trials, opponent
from shipway.errors import IntegrityError, NotFoundError, StoreUnavailable
from shipway.inference.personal import protection_of
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.current import open_current
from shipway.registry.records import EndpointState, Version
from shipway.registry.registry import Registry
from shipway.runtimes.loading import load_model
from shipway.runtimes.port import DEFAULT_LIMITS, ProcessLimits
from shipway.security.keys import KeyRecord
from shipway.security.personal import PersonalKeys
from shipway.security.sealing import NO_KEYRING, Keyring
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy
from shipway.serving.routing import LoadedVersion, RoutingState, Trial

_REMEMBERED = 0
"""The revision of what was remembered: a store in which anything is live has a higher one."""


@dataclass(slots=True)
class RegistryRouting:
    """A routing source over a registry, with keys added; ``threads`` are for one prediction.

    *personal* is what personal columns are replaced with. *memory* is of what a store elsewhere
    said last. If the store does not answer at the start, that is told instead, once.
    """

    registry: Registry
    trials: Trials
    personal: PersonalKeys
    extra_keys: tuple[KeyRecord, ...] = ()
    threads: int = 1
    memory: Memory | None = None
    _answered: bool = False
    _versions: dict[tuple[str, int], Version] = field(default_factory=dict)

    def revision(self) -> int:
        """A number that grows with every change of an endpoint or a key."""
        try:
            return self.registry.revision()
        except StoreUnavailable:
            if self._known() is None:
                raise
            return _REMEMBERED

    def state(self) -> RoutingState:
        """The endpoints and the keys, as of one revision."""
        try:
            revision = self.registry.revision()
            endpoints, keys = self.registry.endpoints(), self.registry.keys()
            self._keep(endpoints, keys)
        except StoreUnavailable:
            if (known := self._known()) is None:
                raise
            revision, endpoints, keys = _REMEMBERED, known.endpoints, known.keys
            self._versions |= {(one.model, one.number): one for one in known.versions}
        self._answered = True
        live = {(one.model, one.live) for one in endpoints}
        self._versions = {key: one for key, one in self._versions.items() if key in live}
        keys = with_mounted(keys, self.extra_keys)
        return RoutingState(revision=revision, endpoints=endpoints, keys=keys)

    def trial(self, endpoint: EndpointState) -> Trial:
        """The trial of the live version of *endpoint*, begun or remembered."""
        version = self._live(endpoint)
        against = opponent(self.registry, endpoint.endpoint, version, before=endpoint.sequence)
        return FetchedTrial(
            lambda: self.registry.open_files(version),
            lambda: self.trials.begin(version, against=against),
        )

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """The live version of *endpoint*, every byte verified, its model loaded."""
        version = self._live(endpoint)
        files = files_to_load(self.registry, version)
        served = served_version(
            version.manifest,
            contract_in(files, version.ref),
            endpoint=endpoint.endpoint,
            number=version.number,
            digest=version.digest,
        )
        return LoadedVersion(
            served=served,
            model=load_model(served.spec, files, threads=self.threads, limits=self.trials.limits),
            warmed=lambda pace: self.trials.remember(version, pace),
            protection=protection_of(served.contract, self.personal),
        )

    def _live(self, endpoint: EndpointState) -> Version:
        if endpoint.live is None:
            raise NotFoundError(
                f"nothing is live on {endpoint.endpoint!r}",
                next_step="promote a version: `shipway promote`",
            )
        key = endpoint.model, endpoint.live
        if key not in self._versions:
            self._versions[key] = self.registry.version(*key)
        return self._versions[key]

    def _known(self) -> Known | None:
        """What is to be told in the place of a store that is away, if nothing was told yet."""
        return None if self._answered or self.memory is None else self.memory.read()

    def _keep(self, endpoints: Sequence[EndpointState], keys: Sequence[KeyRecord]) -> None:
        """Remember what the store says, as far as its versions can be read."""
        if self.memory is None:
            return
        versions = []
        for state in endpoints:
            with suppress(NotFoundError, IntegrityError):
                versions.append(self._live(state))
        self.memory.keep(endpoints, versions, keys)

    def close(self) -> None:
        """Close the registry."""
        self.registry.close()


def open_routing(
    home: Path,
    keys_file: Path | None,
    *,
    addresses: Addresses = IN_FOLDER,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
    trust: TrustPolicy | None = None,
    keyring: Keyring = NO_KEYRING,
) -> RegistryRouting:
    """The routing source of the store in *home*; opened in the thread that will use it."""
    keys = tuple(read_keys_file(keys_file))
    trust = trust or DEFAULT_TRUST
    return RegistryRouting(
        open_current(home, addresses, trust=trust, keyring=keyring),
        Trials(home, limits, trust=trust, opened_in=keyring.opened_in),
        PersonalKeys(home, keyring),
        keys,
        threads,
        memory_of(home, addresses),
    )
