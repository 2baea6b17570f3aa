"""A real S3 server for tests: a process on loopback, ended with them."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_START_S = 60.0
_RUNNING = re.compile(r"Running on http://127\.0\.0\.1:(\d+)")


@dataclass
class ObjectStorage:
    """The server; what it keeps is in its memory and gone once it stops."""

    port: int = 0
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    _process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a user sets to be let in."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "shipway-tests",
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }

    def fresh(self) -> str:
        """The address of a prefix in a new bucket."""
        bucket = f"test-{secrets.token_hex(6)}"
        self.request("PUT", bucket)
        return f"s3://{bucket}/some/where"

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The answer to a plain request, as somebody makes it who knows nothing of Shipway."""
        address = f"http://127.0.0.1:{self.port}/{path}"
        signed = {
            "Authorization": "AWS tests:unchecked",  # moto looks whether there is one
            "Content-Type": "application/octet-stream",
        }
        asked = urllib.request.Request(address, data=body, method=method, headers=signed)
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            return bytes(answer.read())

    def key(self, address: str, name: str) -> str:
        """The path of the object *name* below the prefix *address*."""
        return f"{address.removeprefix('s3://')}/{name}"

    def start(self, log: Path) -> None:
        """Start it and wait until it listens, the second time where it listened before."""
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + _START_S
        while (found := _RUNNING.search(log.read_text())) is None:
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        self.port = int(found[1])

    def stop(self) -> None:
        """End it, and all that it kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def object_storage(log: Path) -> Iterator[ObjectStorage]:
    """A started server."""
    server = ObjectStorage()
    try:
        server.start(log)
        yield server
    finally:
        server.stop()
