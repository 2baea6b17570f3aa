"""Every setting of a project, declared once: its type, what is allowed, its default, its meaning.

The parser, the environment, the flags, the commented file and the reference page all follow
from these declarations (``schema`` reads them). ``Objective`` and ``Costs`` are declared where
they are used, in ``domain.objectives``. In ``extra``, ``default`` says in words what an empty
value becomes, ``allowed`` what a pattern means, and ``advanced`` keeps it out of a new file.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta

from shipway.config.auth import AuthSettings
from shipway.config.encryption import EncryptionSettings
from shipway.config.trust import SignSettings, TrustSettings
from shipway.domain.metrics import Task
from shipway.domain.objectives import BaselineKind, Objectives

FILE_NAME = "shipway.toml"

Text = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
NotNegativeSeconds = Annotated[float, Meta(ge=0, le=86_400)]
Share = Annotated[float, Meta(ge=0, le=1)]
Confidence = Annotated[float, Meta(ge=0.5, le=0.999)]
Address = Annotated[str, Meta(pattern=r"^https?://[^\s/]+")]

Database = Annotated[str, Meta(pattern=r"^$|^postgres(ql)?://[^\s]+$")]
ObjectPrefix = Annotated[
    str, Meta(pattern=r"^$|^(s3a?|gs|azure|az|adl|abfss?)://[^\s/@?#]+[^\s@?#]*$")
]

_ADVANCED = {"advanced": True}
_ADDRESS = {"allowed": "an address beginning with http:// or https://"}


COST_TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "false_positive": Task.BINARY,
        "false_negative": Task.BINARY,
        "mistake": Task.MULTICLASS,
    }
)
"""Which kind of mistake a task knows."""


class Window(StrEnum):
    """The stretch of event time that is assessed as one."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ClientCertificate(StrEnum):
    """Whether a caller must show a certificate where ``serve.tls_client_ca`` is set."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class Platform(StrEnum):
    """Where a server runs as a container whose callers the platform has authenticated."""

    SAGEMAKER = "sagemaker"
    VERTEX = "vertex"


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the model is, and which columns of the data mean what."""

    name: Annotated[Text, Meta(description="the name of the model: a-z, 0-9, '.', '_', '-'")]
    decision: Annotated[str, Meta(description="what is done with a prediction, in a sentence")] = ""
    task: Annotated[Task, Meta(description="what the model predicts")]
    target: Annotated[Text, Meta(description="the column that the model predicts")]
    time: Annotated[
        Text | None, Meta(description="the column that says when the thing predicted happens")
    ] = None
    id: Annotated[Text | None, Meta(description="the column that names a row")] = None
    positive: Annotated[
        Text | None,
        Meta(
            description="the class that a binary model looks for",
            extra={"default": "the last class in sorted order"},
        ),
    ] = None
    threshold: Annotated[
        Share | None,
        Meta(
            description="the score from which a binary model decides for the positive class",
            extra={"default": "from [costs], else 0.5"},
        ),
    ] = None
    two_person: Annotated[
        bool,
        Meta(description="whether nobody may promote a version that he has published himself"),
    ] = False
    block: Annotated[
        Text,
        Meta(
            description="rows within one block are not independent and are resampled together",
            extra={
                "allowed": "hour, day, week (of the time column), row, or the name of a column",
                "default": "day where time is set, else row",
            },
        ),
    ] = ""
    confidence: Annotated[
        Confidence,
        Meta(description="confidence of every interval that is judged", extra=_ADVANCED),
    ] = 0.95


class DataSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tables are, relative to the folder of this file."""

    train: Annotated[
        Text | None,
        Meta(description="the table that the model learned from: a file, a folder or a pattern"),
    ] = None
    test: Annotated[
        Text | None, Meta(description="a later table with known outcomes, for the gate")
    ] = None


class BaselineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A rule without a model, for `better_than = "baseline"`."""

    kind: Annotated[BaselineKind, Meta(description="what the rule answers")]


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the model is served."""

    host: Annotated[Text, Meta(description="the address to listen on")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="the port of the predictions; 0 takes a free one")] = (
        8080
    )
    control_host: Annotated[
        Text,
        Meta(
            description="the address on which labels, metrics and administration are taken",
            extra=_ADVANCED,
        ),
    ] = "127.0.0.1"
    control_port: Annotated[
        Port, Meta(description="the port of labels, metrics and administration; 0 takes a free one")
    ] = 8081
    control_names: Annotated[
        tuple[Text, ...],
        Meta(
            description="names by which the control port is called, beside addresses and the name"
            " of the machine; by another one nothing can be changed",
            extra={**_ADVANCED, "allowed": 'a list of text, as in ["ml.example.org"]'},
        ),
    ] = ()
    grpc: Annotated[bool, Meta(description="whether predictions are answered over gRPC too")] = True
    grpc_port: Annotated[
        Port, Meta(description="the port of the predictions over gRPC; 0 takes a free one")
    ] = 8082
    grpc_max_calls: Annotated[
        Count,
        Meta(description="calls over gRPC that one worker has under way", extra=_ADVANCED),
    ] = 1024
    grpc_max_streams: Annotated[
        Count,
        Meta(description="calls that one gRPC connection may have under way", extra=_ADVANCED),
    ] = 256
    workers: Annotated[
        Annotated[int, Meta(ge=0, le=256)],
        Meta(description="processes that predict; 0 is one for each core that may be used"),
    ] = 1
    threads: Annotated[
        Annotated[int, Meta(ge=0, le=256)],
        Meta(
            description="threads that one prediction may use; 0 is a worker's share of the cores",
            extra=_ADVANCED,
        ),
    ] = 1
    tls_certificate: Annotated[
        Text | None,
        Meta(
            description="the file of the server's certificate and its chain (PEM); with it every"
            " port speaks TLS",
            extra=_ADVANCED,
        ),
    ] = None
    tls_key: Annotated[
        Text | None,
        Meta(
            description="the file of the certificate's key (PEM, without a passphrase)",
            extra={**_ADVANCED, "default": "in the file of the certificate"},
        ),
    ] = None
    tls_client_ca: Annotated[
        Text | None,
        Meta(
            description="the file of the authorities that callers' certificates must come from"
            " (PEM; a revocation list in it counts)",
            extra=_ADVANCED,
        ),
    ] = None
    tls_client_certificate: Annotated[
        ClientCertificate,
        Meta(
            description="whether a caller must show a certificate of tls_client_ca",
            extra=_ADVANCED,
        ),
    ] = ClientCertificate.REQUIRED
    tls_handshake_timeout_s: Annotated[
        Seconds,
        Meta(description="time within which a TLS handshake must be done", extra=_ADVANCED),
    ] = 10.0
    authentication: Annotated[
        bool,
        Meta(
            description="whether callers come with an API key; without, [auth] alone lets them in,"
            " and if it names nobody, everybody on this machine may call"
        ),
    ] = True
    platform: Annotated[
        Platform | None,
        Meta(
            description="the platform that runs this container, lets in whom it has authenticated"
            " itself, and chooses port and routes; predictions then need no key",
            extra=_ADVANCED,
        ),
    ] = None
    keys_file: Annotated[
        Text | None,
        Meta(
            description="a mounted file of key records (digests, no secrets) that are good as well",
            extra=_ADVANCED,
        ),
    ] = None
    max_body_bytes: Annotated[
        Annotated[int, Meta(ge=1024, le=1 << 31)],
        Meta(description="the largest request body, after decompression"),
    ] = 64 * 1024 * 1024
    request_timeout_s: Annotated[
        Seconds, Meta(description="time within which a request must be answered")
    ] = 30.0
    header_timeout_s: Annotated[
        Seconds,
        Meta(description="time within which a request's head must have arrived", extra=_ADVANCED),
    ] = 10.0
    max_head_bytes: Annotated[
        Annotated[int, Meta(ge=1024, le=1 << 20)],
        Meta(description="the largest head of a request, its trailers included", extra=_ADVANCED),
    ] = 32 * 1024
    max_headers: Annotated[
        Count,
        Meta(description="the most header lines of a request", extra=_ADVANCED),
    ] = 100
    max_target_bytes: Annotated[
        Annotated[int, Meta(ge=64, le=1 << 20)],
        Meta(description="the longest path with its query", extra=_ADVANCED),
    ] = 8 * 1024
    max_chunks: Annotated[
        Count,
        Meta(description="the most chunks of a body", extra=_ADVANCED),
    ] = 65_536
    max_receiving_bytes: Annotated[
        Annotated[int, Meta(ge=1024)],
        Meta(
            description="what bodies not yet whole may take in one worker before it says 503",
            extra=_ADVANCED,
        ),
    ] = 512 * 1024 * 1024
    max_json_depth: Annotated[
        Annotated[int, Meta(ge=4, le=512)],
        Meta(description="how deep the JSON of a request may be nested", extra=_ADVANCED),
    ] = 64
    max_elements: Annotated[
        Count,
        Meta(description="the most values of one request", extra=_ADVANCED),
    ] = 16 * 1024 * 1024
    max_connections: Annotated[
        Count,
        Meta(description="connections to one worker before it says 503", extra=_ADVANCED),
    ] = 4096
    max_pipelined: Annotated[
        Count,
        Meta(description="requests that one connection may have under way", extra=_ADVANCED),
    ] = 64
    keep_alive_s: Annotated[
        Seconds,
        Meta(description="how long a connection may rest between requests", extra=_ADVANCED),
    ] = 75.0
    write_timeout_s: Annotated[
        Seconds,
        Meta(description="how long a client may leave its answers unread", extra=_ADVANCED),
    ] = 60.0
    min_receive_rate: Annotated[
        Count,
        Meta(description="the least bytes a second at which a body must come", extra=_ADVANCED),
    ] = 1024
    receive_grace_s: Annotated[
        Seconds,
        Meta(description="time after which the rate of a body counts", extra=_ADVANCED),
    ] = 5.0
    compress_min_bytes: Annotated[
        Count,
        Meta(
            description="answers from this size on are compressed for clients that accept it",
            extra=_ADVANCED,
        ),
    ] = 1024
    queue_rows: Annotated[
        Count,
        Meta(
            description="rows that may wait for a model in one worker before it says 503",
            extra=_ADVANCED,
        ),
    ] = 100_000
    queue_s: Annotated[
        Seconds,
        Meta(
            description="wait for a model, as far as it is known, beyond which a worker says 503",
            extra=_ADVANCED,
        ),
    ] = 1.0
    load_timeout_s: Annotated[
        Seconds,
        Meta(
            description="time within which a version must be loaded and warmed up in its trial",
            extra=_ADVANCED,
        ),
    ] = 60.0
    model_timeout_s: Annotated[
        Seconds,
        Meta(
            description="time within which a model's own code must answer one call; then its"
            " process is replaced",
            extra=_ADVANCED,
        ),
    ] = 10.0
    model_memory_bytes: Annotated[
        Annotated[int, Meta(ge=64 << 20, le=1 << 50)] | None,
        Meta(
            description="address space of the process of a trial, or of a model's own code",
            extra={**_ADVANCED, "default": "the memory of the machine, at least 4 GiB"},
        ),
    ] = None
    drain_wait_s: Annotated[
        NotNegativeSeconds,
        Meta(
            description="time to go on answering after SIGTERM while not ready",
            extra=_ADVANCED,
        ),
    ] = 2.0
    drain_timeout_s: Annotated[
        Seconds,
        Meta(description="time after which requests still open are given up", extra=_ADVANCED),
    ] = 30.0


class MonitorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How live traffic is watched."""

    window: Annotated[Window, Meta(description="the stretch of event time judged as one")] = (
        Window.WEEK
    )
    min_rows: Annotated[
        Count, Meta(description="labelled rows below which a window is not judged")
    ] = 200
    drift_margin: Annotated[
        Annotated[float, Meta(gt=0, le=10)],
        Meta(description="population stability index from which a feature counts as moved"),
    ] = 0.1
    maturity: Annotated[
        Share, Meta(description="share of labels that must be in before a window is judged")
    ] = 0.8


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told when an objective no longer holds."""

    webhook: Annotated[
        Address | None,
        Meta(
            description="where alerts are posted, in the JSON of Alertmanager's webhooks",
            extra=_ADDRESS,
        ),
    ] = None


class RetrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a new model."""

    command: Annotated[Text | None, Meta(description="the command that trains anew")] = None
    when: Annotated[
        tuple[str, ...], Meta(description="metrics of the objectives whose failure starts it")
    ] = ()


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where versions, events and labels are kept."""

    home: Annotated[
        Text, Meta(description="the folder of the store, relative to the folder of this file")
    ] = ".shipway"
    url: Annotated[
        Database,
        Meta(
            description="the PostgreSQL database of versions, evidence, endpoints and keys; its"
            " password stands in `PGPASSWORD`, or in this variable",
            extra={
                **_ADVANCED,
                "allowed": "an address like postgresql://user@host/database",
                "default": "a file of SQLite in the folder",
            },
        ),
    ] = ""
    blobs: Annotated[
        ObjectPrefix,
        Meta(
            description="the bucket and prefix of the versions' files; credentials stand in the"
            " variables of the cloud's own tools",
            extra={
                **_ADVANCED,
                "allowed": "an address beginning with s3://, gs:// or az://",
                "default": "in the folder",
            },
        ),
    ] = ""
    git_tags: Annotated[
        bool,
        Meta(description="write versions and promotions as git tags, in the form of GTO"),
    ] = False
    audit_days: Annotated[
        Annotated[int, Meta(ge=1, le=36_500)],
        Meta(description="days for which the audit log keeps its lines", extra=_ADVANCED),
    ] = 183
    pull_limit_bytes: Annotated[
        Count,
        Meta(
            description="the most that `pull` and `import` take of one artefact, as it comes",
            extra=_ADVANCED,
        ),
    ] = 4 << 30
    pull_limit_expanded_bytes: Annotated[
        Count,
        Meta(description="the same, of its files once they are unpacked", extra=_ADVANCED),
    ] = 8 << 30
    pull_limit_file_bytes: Annotated[
        Count, Meta(description="the same, of one file", extra=_ADVANCED)
    ] = 2 << 30
    pull_limit_files: Annotated[
        Count, Meta(description="the most files that an artefact may have", extra=_ADVANCED)
    ] = 1_000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of a project, checked, with every default filled in.

    ``objectives`` gathers ``[[objectives]]``, ``[costs]``, ``[baseline]`` and what ``[model]``
    says about the decision. ``model.block`` is never empty here.
    """

    model: ModelSettings
    objectives: Objectives
    data: DataSettings = DataSettings()
    serve: ServeSettings = ServeSettings()
    auth: AuthSettings = AuthSettings()
    monitor: MonitorSettings = MonitorSettings()
    alerts: AlertSettings = AlertSettings()
    retrain: RetrainSettings = RetrainSettings()
    store: StoreSettings = StoreSettings()
    sign: SignSettings = SignSettings()
    trust: TrustSettings = TrustSettings()
    encryption: EncryptionSettings = EncryptionSettings()
