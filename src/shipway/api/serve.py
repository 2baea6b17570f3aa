"""``serve``: the server of a project, until it is told to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from shipway.api.keys import EVERYDAY_SCOPES, NewKey, create_key
from shipway.bootstrap.admission import check_admission
from shipway.bootstrap.keys import read_keys_file
from shipway.bootstrap.logs import configured_logs
from shipway.bootstrap.memory import memory_of
from shipway.bootstrap.processes import server_plan
from shipway.bootstrap.project import Project
from shipway.bootstrap.trusting import without_signing_key
from shipway.config.settings import ServeSettings
from shipway.errors import NotFoundError, StoreUnavailable
from shipway.monitoring.sealed import require_cipher
from shipway.registry.records import EndpointState
from shipway.serving.plan import ServerPlan
from shipway.serving.status import ServerRecord
from shipway.serving.supervisor import supervise

_log = logging.getLogger(__name__)


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A server that answers; ``first_key`` is there when it was made for this start.

    ``grpc_url`` is what a gRPC client takes, "" when gRPC is off.
    """

    pid: int
    url: str
    control_url: str
    grpc_url: str
    started_at: datetime
    model: str
    live: int | None
    first_key: NewKey | None


def serve(project: Project, *, announce: Callable[[Serving], None]) -> int:
    """Serve the project's endpoint until SIGTERM or SIGINT; returns the exit code.

    *announce* is called once, when predictions are answered. With authentication on and no key
    that is still good, one is made first, and *announce* is the only one who ever sees it.

    Raises :class:`~shipway.errors.NotFoundError` when nothing is live,
    :class:`~shipway.errors.PortInUse` for a port that is taken,
    :class:`~shipway.errors.UsageError` for an open address without authentication,
    :class:`~shipway.errors.ConfigError` for a keys file that is none or a certificate that is no
    good, :class:`~shipway.errors.MissingPackage` for tokens without what checks them, and
    :class:`~shipway.errors.EnvironmentFailure` when the live version does not load.
    """
    _settings(project)  # what is wrong with its files is said before a key is made
    state, first_key = _standing(project)
    if state is None or state.live is None:
        raise NotFoundError(
            f"nothing is live on the endpoint {project.model!r}",
            next_step="publish and promote a version: `shipway pack`, `shipway gate`,"
            " `shipway promote`",
        )

    def tell(record: ServerRecord) -> None:
        announce(
            Serving(
                pid=record.pid,
                url=record.url,
                control_url=record.control_url,
                grpc_url=record.grpc_url,
                started_at=record.started_at,
                model=project.model,
                live=state.live,
                first_key=first_key,
            )
        )

    def plan(project: Project) -> ServerPlan:
        auth = project.settings.auth
        if auth.client_secret_file is not None:
            secret = str((project.folder / auth.client_secret_file).resolve())
            auth = msgspec.structs.replace(auth, client_secret_file=secret)
        check_admission(auth)
        check_keyring(project)
        return server_plan(
            project.home,
            project.model,
            _settings(project),
            auth=auth,
            addresses=project.addresses,
            two_person=project.settings.model.two_person,
            audit_days=project.settings.store.audit_days,
            trust=project.trust,
            encryption=project.encryption,
            environ=without_signing_key(project.settings.sign, project.environ),
        )

    first = plan(project)
    project.close()
    with configured_logs("supervisor"):
        return supervise(first, announce=tell, reread=lambda: plan(project.read_again()))


def check_keyring(project: Project) -> None:
    """Raise what a worker would, where things are to be encrypted or opened and cannot be."""
    if project.keyring.sealer() is not None:
        require_cipher()
    project.keyring.opener()


def _standing(project: Project) -> tuple[EndpointState | None, NewKey | None]:
    """What the endpoint routes to, and a key if a first one is needed.

    Of a store that is away it is what a server here last knew; no key is made then.
    """
    try:
        state = project.registry.endpoint(project.model)
        authenticates = project.settings.serve.authentication
        if state is None or state.live is None or not authenticates:
            return state, None
        return state, _first_key(project)
    except StoreUnavailable as error:
        memory = memory_of(project.home, project.addresses)
        known = None if memory is None else memory.read()
        if known is None:
            raise
        _log.warning("serving what was known last: %s", error.message)
        return known.endpoint(project.model), None


def _settings(project: Project) -> ServeSettings:
    """How to serve, files found from the project's folder and the keys file looked into once."""
    settings = project.settings.serve
    found = {
        name: str((project.folder / path).resolve())
        for name in ("keys_file", "tls_certificate", "tls_key", "tls_client_ca")
        if (path := getattr(settings, name)) is not None
    }
    if "keys_file" in found:
        read_keys_file(Path(found["keys_file"]))
    return msgspec.structs.replace(settings, **found)


def _first_key(project: Project) -> NewKey | None:
    """A key for everyday use if no key is good now and none is mounted."""
    if project.settings.serve.keys_file is not None:
        return None
    now = project.clock()
    records = project.registry.keys()
    for record in records:
        if record.revoked_at is None and now < record.expires_at:
            return None
    return create_key(project, name="first", scopes=EVERYDAY_SCOPES)
