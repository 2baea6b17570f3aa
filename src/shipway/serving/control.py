"""The control process: the control plane's application on uvicorn, drained on SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shipway.security.certificates import peer_certificate
from shipway.serving.access import Admission
from shipway.serving.child import Child, watch_parent
from shipway.serving.control_routes import ControlServices, Move, make_application
from shipway.serving.gatekeeper import CERTIFICATE, Gatekeeper, Keys, Refusals
from shipway.serving.login import Login
from shipway.serving.status import remove_process, write_control
from shipway.serving.tls import Certificates, TlsFiles, watch

__all__ = ["ControlOptions", "ControlServices", "Move", "run_control"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOptions:
    """How the control process behaves; ``host`` is what it is bound to.

    ``names`` are those by which it is called as well, ``refusals`` is told who was turned away.
    """

    run: Path
    refusals: Refusals
    tls: TlsFiles | None = None
    names: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    drain_timeout_s: float = 30.0


def run_control(
    child: Child,
    *,
    services: ControlServices,
    keys: Keys,
    options: ControlOptions,
    admission: Admission,
    login: Login | None = None,
) -> int:
    """Serve the control plane until told to stop; the exit code of the process.

    *keys* is asked for every request, so that a revoked key is refused at once; *admission* says
    who else comes in, and *login* lets people in.
    """
    application = make_application(services, options.run)
    configured = uvicorn.Config(
        Gatekeeper(
            application,
            keys=keys,
            admission=admission,
            host=options.host,
            refusals=options.refusals,
            names=options.names,
            login=login,
        ),
        http=_Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=int(options.drain_timeout_s),
    )
    server = _Server(configured, options.run)
    ended = threading.Event()

    def orphaned() -> None:
        server.should_exit = True
        if not ended.wait(options.drain_timeout_s + 5.0):
            os._exit(1)

    def ignored(_: int, __: FrameType | None) -> None:
        """uvicorn raises the signal again once it has ended; by then it has done its work."""

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ignored)
    watch_parent(child, orphaned)
    if options.tls is not None:
        certificates = Certificates(options.tls)
        configured.load()
        configured.ssl = certificates.standing()
        watch([certificates], ended)
    server.run(sockets=[child.socket])
    ended.set()
    remove_process(options.run, os.getpid())
    return 0


class _Connection(HttpToolsProtocol):
    """uvicorn's connection, which hands on the certificate that the client has shown."""

    def on_message_begin(self) -> None:
        """A request begins: what is known of the connection is known of it."""
        super().on_message_begin()
        told = self.transport.get_extra_info("peercert")
        self.scope["state"][CERTIFICATE] = peer_certificate(told)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it answers."""

    def __init__(self, configured: uvicorn.Config, run: Path) -> None:
        super().__init__(configured)
        self._run = run

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open for requests, then say so."""
        await super().startup(sockets)
        write_control(self._run)
