"""Which version answers for which endpoint: an immutable snapshot, swapped whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from shipway.inference.personal import Protection
from shipway.inference.predictor import Pace, Predictor, ServedVersion
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
    """A version that was verified and loaded, not yet warmed up.

    ``warmed`` is told of its pace when it is, so that its trial need not be made any more.
    ``protection`` says what its events hold of personal columns.
    """

    served: ServedVersion
    model: Model
    warmed: Callable[[Pace], None] = lambda _: None
    protection: Protection | None = None


class Trial(Protocol):
    """A version that is being tried out where it can disturb nobody: in a process of its own."""

    def poll(self) -> bool:
        """Whether it has got through; False while that is not known yet. Never waits.

        Raises the :class:`~shipway.errors.ShipwayError` that says why it did not.
        """

    def abandon(self) -> None:
        """End what is under way; nothing is left of it afterwards."""


class RoutingSource(Protocol):
    """Where a worker learns what to serve.

    All methods are called from one thread, but ``load``, which may run beside the others.
    """

    def revision(self) -> int:
        """A number that grows with every change of an endpoint or a key; asked all the time."""

    def state(self) -> RoutingState:
        """What is to be served now."""

    def trial(self, endpoint: EndpointState) -> Trial:
        """Begin to try out the live version of *endpoint*; raises ShipwayError if it cannot be."""

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

    def answers(self, wanted: EndpointState) -> bool:
        """Whether this is the version that *wanted* routes to."""
        serves = self.predictor.served
        return (serves.model, serves.number) == (wanted.model, wanted.live)


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
