"""Why a call ends without an answer, and how many may be open."""

from __future__ import annotations

import logging

from shipway.errors import Overloaded, PredictionFailed, ShipwayError
from shipway.serving.rpc.statuses import Status, grpc_status

_log = logging.getLogger(__name__)


class CallRefused(Exception):
    """A call ends here: an error, and the status where gRPC is more exact than the table."""

    def __init__(self, error: ShipwayError, code: Status | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = grpc_status(error) if code is None else code


def failed(error: Exception) -> CallRefused:
    """What is told where something of ours went wrong; the log has it all."""
    _log.error("a call failed", exc_info=error)
    step = "look at the server's log"
    return CallRefused(PredictionFailed("the server failed to answer", next_step=step))


class Room:
    """How many calls there are, and may be."""

    __slots__ = ("most", "now", "whose")

    def __init__(self, most: int, whose: str) -> None:
        self.most = most
        self.whose = whose
        self.now = 0

    def full(self) -> Overloaded:
        """Why there is no room for one more."""
        return Overloaded(
            f"{self.now} calls of {self.whose} are open in this worker already",
            next_step="try again in a second, or raise serve.grpc_max_calls",
            retry_after_s=1,
        )


def unread(most_bytes: int) -> Overloaded:
    """The refusal of a client that asks on and on and does not read."""
    return Overloaded(
        f"over {most_bytes} bytes of answers are not read",
        next_step="read them while asking",
        retry_after_s=1,
    )
