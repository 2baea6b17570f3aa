"""Where a worker learns what to answer with: the registry, seen as a routing source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shipway.bootstrap.predictors import contract_in, served_version
from shipway.errors import ConfigError, NotFoundError
from shipway.registry.current import open_current
from shipway.registry.records import EndpointState
from shipway.registry.registry import Registry
from shipway.runtimes.loading import load_model
from shipway.security.keys import KeyRecord
from shipway.serving.routing import LoadedVersion, RoutingState


@dataclass(slots=True)
class RegistryRouting:
    """A routing source over the registry in *home*, with the keys of *keys_file* added."""

    registry: Registry
    extra_keys: tuple[KeyRecord, ...] = ()

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

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """The live version of *endpoint*, every byte verified, its model loaded."""
        if endpoint.live is None:
            raise NotFoundError(
                f"nothing is live on {endpoint.endpoint!r}",
                next_step="promote a version: `shipway promote`",
            )
        version = self.registry.version(endpoint.model, endpoint.live)
        files = self.registry.open_files(version)
        served = served_version(
            version.manifest,
            contract_in(files, version.ref),
            endpoint=endpoint.endpoint,
            number=version.number,
            digest=version.digest,
        )
        return LoadedVersion(served=served, model=load_model(served.spec, files))

    def close(self) -> None:
        """Close the registry."""
        self.registry.close()


def open_routing(home: Path, keys_file: Path | None) -> RegistryRouting:
    """The routing source of the store in *home*; opened in the thread that will use it."""
    return RegistryRouting(open_current(home), tuple(read_keys_file(keys_file)))


def all_keys(registry: Registry, mounted: Sequence[KeyRecord]) -> tuple[KeyRecord, ...]:
    """The keys of *registry* and those *mounted*; of one in both only the registry's counts.

    It alone says that a key was revoked.
    """
    known = registry.keys()
    ids = {record.id for record in known}
    return (*known, *(record for record in mounted if record.id not in ids))


def read_keys_file(path: Path | None) -> Sequence[KeyRecord]:
    """The key records (digests, never secrets) of a mounted file, for servers without a store.

    Raises :class:`~shipway.errors.ConfigError` for a file that is missing or malformed.
    """
    if path is None:
        return ()
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[KeyRecord])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"the keys file {path} cannot be read: {error}",
            next_step="write it with `shipway keys create --export FILE` and mount it read-only",
        ) from error
