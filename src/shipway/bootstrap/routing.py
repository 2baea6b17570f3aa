"""Where a worker learns what to answer with: the registry, seen as a routing source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shipway.bootstrap.keys import all_keys, read_keys_file
from shipway.bootstrap.predictors import contract_in, files_to_load, served_version
from shipway.bootstrap.trials import Trials, VersionTrial, opponent
from shipway.errors import NotFoundError
from shipway.registry.current import open_current
from shipway.registry.records import EndpointState, Version
from shipway.registry.registry import Registry
from shipway.runtimes.loading import load_model
from shipway.runtimes.port import DEFAULT_LIMITS, ProcessLimits
from shipway.security.keys import KeyRecord
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy
from shipway.serving.routing import LoadedVersion, RoutingState


@dataclass(slots=True)
class RegistryRouting:
    """A routing source over a registry, with keys added; ``threads`` are for one prediction."""

    registry: Registry
    trials: Trials
    extra_keys: tuple[KeyRecord, ...] = ()
    threads: int = 1

    def revision(self) -> int:
        """A number that grows with every change of an endpoint or a key."""
        return self.registry.revision()

    def state(self) -> RoutingState:
        """The endpoints and the keys, as of one revision."""
        return RoutingState(
            revision=self.registry.revision(),
            endpoints=tuple(self.registry.endpoints()),
            keys=all_keys(self.registry, self.extra_keys),
        )

    def trial(self, endpoint: EndpointState) -> VersionTrial:
        """The trial of the live version of *endpoint*, begun or remembered."""
        version = self._live(endpoint)
        against = opponent(self.registry, endpoint.endpoint, version, before=endpoint.sequence)
        return self.trials.begin(version, against=against)

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
        )

    def _live(self, endpoint: EndpointState) -> Version:
        if endpoint.live is None:
            raise NotFoundError(
                f"nothing is live on {endpoint.endpoint!r}",
                next_step="promote a version: `shipway promote`",
            )
        return self.registry.version(endpoint.model, endpoint.live)

    def close(self) -> None:
        """Close the registry."""
        self.registry.close()


def open_routing(
    home: Path,
    keys_file: Path | None,
    *,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
    trust: TrustPolicy | None = None,
) -> RegistryRouting:
    """The routing source of the store in *home*; opened in the thread that will use it."""
    keys = tuple(read_keys_file(keys_file))
    trust = trust or DEFAULT_TRUST
    trials = Trials(home, limits, trust=trust)
    return RegistryRouting(open_current(home, trust=trust), trials, keys, threads)
