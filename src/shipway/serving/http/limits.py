"""Every limit of the data plane, with the setting that moves it."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection, one request and one turn of the loop may take; seconds and bytes.

    ``header_timeout_s`` is from the first byte of a request (or from connecting) to the end of
    its headers, ``request_timeout_s`` to the start of the model call; ``keep_alive_s`` is how
    long a connection may rest between requests, ``write_timeout_s`` how long a client may leave
    its answer unread. A body must come at ``min_receive_rate`` bytes a second, after
    ``receive_grace_s``. ``max_body_bytes`` counts a compressed body as it is when unpacked,
    ``max_receiving_bytes`` all bodies of a worker that are not whole yet.
    ``queue_rows`` bounds the rows that wait for a model, ``queue_s`` the time that they would
    wait; ``max_json_depth`` and ``max_elements`` what is decoded. Settings have these names.
    """

    max_body_bytes: int = 64 * MIB
    max_head_bytes: int = 32 * 1024
    max_headers: int = 100
    max_target_bytes: int = 8 * 1024
    max_chunks: int = 65_536
    max_receiving_bytes: int = 512 * MIB
    max_connections: int = 4096
    max_pipelined: int = 64
    max_json_depth: int = 64
    max_elements: int = 16 * MIB
    header_timeout_s: float = 10.0
    request_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    write_timeout_s: float = 60.0
    linger_s: float = 2.0
    min_receive_rate: int = 1024
    receive_grace_s: float = 5.0
    compress_min_bytes: int = 1024
    queue_rows: int = 65_536
    queue_s: float = 1.0
