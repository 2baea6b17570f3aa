"""Which version answers for which endpoint: an immutable snapshot, swapped whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from shipway.inference.predictor import Predictor, ServedVersion
from shipway.registry.records import EndpointState
from shipway.runtimes.port import Model
from shipway.security.keys import KeyRecord
from shipway.serving.access import Access
from shipway.serving.protocols.oip_codec import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingState:
    """What the registry says now; ``keys`` are all of them, revoked ones too."""

    revision: int
    endpoints: tuple[EndpointState, ...]
    keys: tuple[KeyRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedVersion:
    """A version that was verified and loaded, not yet warmed up."""

    served: ServedVersion
    model: Model


class RoutingSource(Protocol):
    """Where a worker learns what to serve. All methods are called from one thread of the worker."""

    def revision(self) -> int:
        """A number that grows with every change of an endpoint or a key; asked all the time."""

    def state(self) -> RoutingState:
        """What is to be served now."""

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """Verify and load the live version of *endpoint*; raises ShipwayError if it cannot be."""

    def close(self) -> None:
        """Give back what the source holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One endpoint that can answer: its predictor, its codec, and the bodies that never change."""

    state: EndpointState
    predictor: Predictor
    codec: Codec
    metadata: bytes

    @classmethod
    def of(cls, state: EndpointState, predictor: Predictor) -> Served:
        """What serves *state* with *predictor*."""
        codec = Codec(predictor.served, predictor.rule)
        return cls(state, predictor, codec, codec.metadata())


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """Everything that the data plane looks up. Before anything is known, nobody is let in."""

    revision: int = -1
    endpoints: Mapping[str, Served] = field(default_factory=lambda: MappingProxyType({}))
    access: Access = field(default_factory=Access)

    def by_name(self) -> dict[str, Served]:
        """What answers for each name that a client may use: endpoints, and models behind them.

        An endpoint's own name wins over a model's of the same name.
        """
        names: dict[str, Served] = {}
        for served in self.endpoints.values():
            names.setdefault(served.predictor.served.model, served)
        return names | dict(self.endpoints)
