"""How a worker answers gRPC, beside the limits that hold for every request."""

from __future__ import annotations

from dataclasses import dataclass, field

from shipway.serving.http2.conversation import Manners


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcOptions:
    """How many calls of callers one worker has under way, and what one connection may do."""

    max_calls: int = 1024
    manners: Manners = field(default_factory=Manners)
