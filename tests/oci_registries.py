"""A real registry (Debian's docker-registry) on this machine, for as long as a test lasts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

PROGRAM = "docker-registry"
USER, PASSWORD = "captain", "open sesame"
# bcrypt of PASSWORD, the only form that the registry's htpasswd takes.
_HTPASSWD = f"{USER}:$2b$04$k7ctOpKbYjihfd.UzM3PCO/.KkBFJbmi2OqC2X8np86oYYiOp0NJi\n"
_CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_AUTH = "auth: {{htpasswd: {{realm: harbour, path: {path}}}}}\n"


@contextmanager
def running(folder: Path, *, login: bool = False) -> Iterator[str]:
    """``host:port`` of a registry that keeps everything in *folder*, which must be fresh."""
    for _ in range(5):  # the port may be taken between its choice and its use
        port = _free_port()
        config = folder / "config.yml"
        text = _CONFIG.format(storage=folder / "storage", port=port)
        if login:
            (folder / "htpasswd").write_text(_HTPASSWD)
            text += _AUTH.format(path=folder / "htpasswd")
        config.write_text(text)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAM, "serve", str(config)],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )
        try:
            if _answers(process, port):
                yield f"127.0.0.1:{port}"
                return
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
    raise AssertionError((folder / "log").read_text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the registry came up; its end is noticed as well."""
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/v2/").status_code in (200, 401)
        except httpx.TransportError:
            time.sleep(0.02)
    return False
