"""How a worker answers gRPC. Nothing of gRPC is imported here: a worker without it stays small."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from shipway.serving.tls import TlsFiles

KIB = 1 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcOptions:
    """Where to listen and what one connection and all of them together may take.

    Every worker listens to the same *port* and the system deals connections out; 0 takes a free
    one, which only a single worker can use. With a ``certificate`` the port speaks TLS, and with a
    ``client_ca`` as well callers must show a certificate of it. ``max_connections`` bounds memory:
    gRPC's core keeps 34 to 65 MiB of one that sends a head without end.
    """

    port: int = 0
    host: str = "127.0.0.1"
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    max_calls: int = 1024
    max_connections: int = 512
    max_streams: int = 256
    max_metadata_bytes: int = 16 * KIB
    least_ping_interval_s: float = 10.0
    keepalive_s: float = 60.0
    max_idle_s: float = 600.0

    def on(self, port: int, tls: TlsFiles | None) -> GrpcOptions:
        """The same on *port*, with the certificates of HTTP in *tls*.

        gRPC can ask every caller for a certificate or none: where one may be left out, none is
        asked for, and a key tells who is calling.
        """
        if tls is None:
            return replace(self, port=port)
        trusted = tls.client_ca if tls.client_required else None
        return replace(
            self,
            port=port,
            certificate=Path(tls.certificate),
            key=None if tls.key is None else Path(tls.key),
            client_ca=None if trusted is None else Path(trusted),
        )

    @property
    def address(self) -> str:
        """The host and the port as gRPC wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
