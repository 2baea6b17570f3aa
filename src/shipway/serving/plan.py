"""What the supervisor is to start, and what it tells each child."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from shipway.serving.tls import TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """What to start. Ports may be 0; commands get the child's arguments appended.

    The control plane listens on an address of its own: opening the predictions to others opens
    nothing else. ``behind_platform`` says that whoever reaches the predictions was let in by the
    platform that runs this server, so that they may be open without keys. ``grpc_port`` None
    leaves gRPC out. With a ``zygote_command`` children are forked from that process
    (:mod:`shipway.serving.zygote`); the commands of their own are what is started where that
    cannot be. ``environment`` None hands down the supervisor's own.
    """

    host: str
    port: int
    control_port: int
    workers: int
    control_host: str = "127.0.0.1"
    grpc_port: int | None = None
    worker_command: tuple[str, ...]
    control_command: tuple[str, ...]
    zygote_command: tuple[str, ...] | None = None
    run: Path
    authentication: bool = True
    behind_platform: bool = False
    tls: TlsFiles | None = None
    drain_wait_s: float = 2.0
    drain_timeout_s: float = 30.0
    environment: Mapping[str, str] | None = None

    @property
    def grace_s(self) -> float:
        """Time in which a child that was told to end has ended."""
        return self.drain_wait_s + self.drain_timeout_s + 2.0

    def taking_over(self, newer: ServerPlan) -> tuple[ServerPlan, tuple[str, ...]]:
        """*newer*, but at the addresses of this one, and the settings that had to stay.

        Ports are open and workers are counted for as long as a server runs.
        """
        fixed = ("host", "port", "control_host", "control_port", "grpc_port", "workers", "run")
        kept = {name: getattr(self, name) for name in fixed}
        changed = tuple(name for name in fixed if getattr(newer, name) != kept[name])
        if (newer.tls is None) is not (self.tls is None):
            kept["tls"] = self.tls
            changed += ("tls_certificate",)
        return replace(newer, **kept), changed
