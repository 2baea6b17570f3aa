"""The server's child processes: what they are told, and how each is wired.

The supervisor starts ``python -P -m shipway.bootstrap.zygote`` with one JSON argument, and has
workers and the control process forked from it; where that cannot be, ``….worker`` and ``….control``
are started with the same argument. Nothing secret is in it. Of secrets their environment has only
what opens a store that is not in its folder; trials and models' own code have none. ``-P`` keeps
the working folder out of the import path: a ``queue.py`` that lies there is the user's, and not to
be run by a server.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import msgspec

from shipway.bootstrap.granted import process_limits
from shipway.bootstrap.logs import configured_logs
from shipway.bootstrap.platforms import doors, on_platform
from shipway.config.auth import AuthSettings
from shipway.config.settings import ClientCertificate, ServeSettings
from shipway.cores import threads_each, usable_cores
from shipway.errors import ShipwayError
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.runtimes.port import ProcessLimits
from shipway.security.sealing import PLAIN, Encryption, Keyring
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy
from shipway.serving.child import Child, read_child
from shipway.serving.doors import Doors
from shipway.serving.http.limits import Limits
from shipway.serving.plan import ServerPlan
from shipway.serving.tls import TlsFiles

_log = logging.getLogger(__name__)
_NOT_FOR_CHILDREN = frozenset(
    {
        "SHIPWAY_KEY",
        "SHIPWAY_ALERTS__WEBHOOK",
        "SHIPWAY_CLIENT_CERTIFICATE",
        "SHIPWAY_STORE__URL",
    }
)
"""What only a client, or whoever sends alerts, has to know, and what is told another way."""


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a child process needs to know; folders are absolute."""

    home: str
    addresses: Addresses = IN_FOLDER
    model: str
    serve: ServeSettings
    auth: AuthSettings = AuthSettings()
    doors: Doors = Doors()
    two_person: bool = False
    audit_days: int = 183
    trust: TrustPolicy = DEFAULT_TRUST
    encryption: Encryption = PLAIN

    @property
    def home_path(self) -> Path:
        """The folder of the store."""
        return Path(self.home)

    @property
    def keyring(self) -> Keyring:
        """What opens encrypted versions."""
        return self.encryption.keyring(os.environ)

    @property
    def run(self) -> Path:
        """Where processes report their state."""
        return self.home_path / "run"

    @property
    def keys_file(self) -> Path | None:
        """A mounted file of key records."""
        return Path(self.serve.keys_file) if self.serve.keys_file else None

    @property
    def tls(self) -> TlsFiles | None:
        """Whether TLS is spoken, and with which files."""
        return tls_files(self.serve)

    @property
    def process_limits(self) -> ProcessLimits:
        """What is granted to trials, and to models that run in processes of their own."""
        return process_limits(self.serve)

    @property
    def limits(self) -> Limits:
        """What one worker accepts."""
        settings = msgspec.structs.asdict(self.serve)
        named = {field.name for field in fields(Limits)} & settings.keys()
        return Limits(**{name: settings[name] for name in named})


def server_plan(
    home: Path,
    model: str,
    serve: ServeSettings,
    *,
    auth: AuthSettings | None = None,
    addresses: Addresses = IN_FOLDER,
    two_person: bool = False,
    audit_days: int = 183,
    trust: TrustPolicy | None = None,
    encryption: Encryption = PLAIN,
    environ: Mapping[str, str],
) -> ServerPlan:
    """How the supervisor runs the server of the store in *home*.

    The children's environment is *environ* without what they need not know, and with how many
    threads a library may start, unless *environ* says so itself.
    """
    cores = usable_cores()
    workers = serve.workers or cores
    share = threads_each(workers, cores)
    serve = msgspec.structs.replace(serve, workers=workers, threads=serve.threads or share)
    serve = on_platform(serve, environ)
    auth = auth or AuthSettings()
    plan = ProcessPlan(
        home=str(home.resolve()),
        addresses=addresses.told,
        model=model,
        serve=serve,
        auth=auth,
        doors=doors(serve, environ),
        two_person=two_person,
        audit_days=audit_days,
        trust=trust or DEFAULT_TRUST,
        encryption=encryption,
    )
    argument = msgspec.json.encode(plan).decode()
    python = (sys.executable, "-P", "-m")
    return ServerPlan(
        host=serve.host,
        port=serve.port,
        control_host=serve.control_host,
        control_port=serve.control_port,
        grpc_port=serve.grpc_port if serve.grpc else None,
        workers=serve.workers,
        worker_command=(*python, "shipway.bootstrap.worker", argument),
        control_command=(*python, "shipway.bootstrap.control", argument),
        zygote_command=(*python, "shipway.bootstrap.zygote", argument),
        run=plan.run,
        authentication=serve.authentication or auth.known_callers,
        behind_platform=serve.platform is not None,
        tls=tls_files(serve),
        drain_wait_s=serve.drain_wait_s,
        drain_timeout_s=serve.drain_timeout_s,
        environment={
            **_threads(share),
            **{k: v for k, v in environ.items() if k not in _NOT_FOR_CHILDREN},
            **({"PGPASSWORD": password} if (password := addresses.password) else {}),
        },
    )


def tls_files(serve: ServeSettings) -> TlsFiles | None:
    """The files of *serve* for TLS, None without a certificate."""
    if serve.tls_certificate is None:
        return None
    return TlsFiles(
        certificate=serve.tls_certificate,
        key=serve.tls_key,
        client_ca=serve.tls_client_ca,
        client_required=serve.tls_client_certificate is ClientCertificate.REQUIRED,
    )


def _threads(count: int) -> dict[str, str]:
    """How many threads a process' libraries may start, in the variables that they read.

    Predicting is no work for BLAS, and its library starts its threads when it is imported.
    """
    return {
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_NUM_THREADS": str(count),
        "POLARS_MAX_THREADS": str(count),
    }


def run_child(name: str, run: Callable[[Child, ProcessPlan], int], arguments: Sequence[str]) -> int:
    """Run a child process by what the supervisor told it; the exit code of the process.

    *name* is what it is called in the log until it knows better. An error that was foreseen is
    one line there, with what to do next.
    """
    with configured_logs(name):
        try:
            child, (argument,) = read_child(arguments)
            plan = msgspec.json.decode(argument, type=ProcessPlan)
            with configured_logs(child.name):
                return run(child, plan)
        except ShipwayError as error:
            _log.error("%s", error, extra={"code": error.code})
        except Exception:  # an outermost loop: the log has every ending
            _log.critical("the process ended by an exception", exc_info=True)
        return 1
