"""A real PostgreSQL for tests: a cluster of their own, on loopback, ended with them."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

USER = "shipway"
_START_S = 60.0


def postgres_program(name: str) -> str | None:
    """Where the program *name* of PostgreSQL is: on the PATH, or where Debian puts it."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else None)


@dataclass
class Postgres:
    """A cluster in *folder*; ``stop`` is a crash, ``start`` comes back at the same address."""

    folder: Path
    port: int
    password: str
    _process: subprocess.Popen[bytes] | None = None

    def address(self, database: str, *, password: str | None = None) -> str:
        """The address of *database*, with the good password or another."""
        told = self.password if password is None else password
        return f"postgresql://{USER}:{told}@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.address(name)

    def start(self) -> None:
        """Start it and wait until it lets us in."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(postgres_program("postgres")),
                    *("-D", str(self.folder / "data")),
                    *(
                        word
                        for name, value in options.items()
                        for word in ("-c", f"{name}={value}")
                    ),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=_account(),
                cwd=self.folder,
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it at once, with every connection; nothing answers at its port afterwards."""
        if self._process is not None:
            self._process.send_signal(3)  # immediate shutdown
            self._process.wait()
            self._process = None


@contextmanager
def postgres_cluster() -> Iterator[Postgres]:
    """A started cluster with a user who may make databases."""
    folder = Path(tempfile.mkdtemp(prefix="shipway-postgres-"))
    account = _account()
    if account is not None:
        os.chown(folder, account, -1)
    cluster = Postgres(folder, _free_port(), secrets.token_urlsafe(12))
    try:
        (folder / "password").write_text(cluster.password)
        (folder / "password").chmod(0o644)  # in a folder that is its user's alone
        subprocess.run(
            [
                str(postgres_program("initdb")),
                *("--pgdata", str(folder / "data"), "--username", USER, "--auth", "scram-sha-256"),
                *("--pwfile", str(folder / "password"), "--encoding", "UTF8", "--no-sync"),
                *("--locale", "C.UTF-8"),
            ],
            check=True,
            capture_output=True,
            user=account,
            cwd=folder,
        )
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> int | None:
    """Whom the server runs as: it refuses to be root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return names.get("postgres", names["nobody"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
