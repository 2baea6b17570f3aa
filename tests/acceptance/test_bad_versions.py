"""Versions that do the worst while another one answers: nobody notices, and it is said why."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import msgspec
import pytest
from tests.projects import Project
from tests.serving_rig import eventually

from shipway.bootstrap.project import open_project
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.registry.entries import file_entries
from shipway.registry.records import EndpointState, Version
from shipway.registry.registry import Registry
from shipway.runtimes.sources import archive
from shipway.serving.status import EndpointStatus, wait_for_workers

SLEEPER = f"613.{os.getpid()}"  # tests beside this one have bombs of their own
WILD_RUNTIME = '''
def load(spec, files, *, threads=1, limits=None):
    """Runs the file within the process that loads it, as a broken library would."""
    names = {}
    exec(files[spec.main_file].read_text(), names)
    return names["Model"](spec)
'''
WILD = """
import ctypes, os, time
import numpy as np

class Model:
    def __init__(self, spec):
        self.spec = spec
        {at_load}

    def predict(self, columns):
        rows = len(columns["age"])
        {at_predict}

    def close(self):
        pass
"""
GOOD = "return np.full((rows, 2), 0.5)"
BOMB = f"""
import os, subprocess, time
for number in range(60):
    subprocess.Popen(["sleep", "{SLEEPER}"], start_new_session=number % 2 == 0)
time.sleep(100)

def predict(frame):
    return frame["age"] * 0
"""


@dataclass(frozen=True)
class Bad:
    """What is wrong with a version, and what has to be said of it."""

    says: str
    at_load: str = "pass"
    at_predict: str = GOOD
    spec: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    damage: str = ""


BAD = {
    "truncated": Bad("differs from its manifest", damage="cut"),
    "wrong digest": Bad("differs from its manifest", damage="changed"),
    "import error": Bad("No module named 'no_such_library'", at_load="import no_such_library"),
    "hang": Bad("was not loaded and warmed up within", at_load="time.sleep(100)"),
    "exit": Bad("ended with exit code 3", at_load="os._exit(3)"),
    "segfault": Bad("killed by SIGSEGV", at_predict="ctypes.string_at(0)"),
    "out of memory": Bad("MemoryError", at_load="self.all = bytearray(1 << 40)"),
    "fork bomb": Bad("was not loaded", code=BOMB),
    "NaN at warm-up": Bad("no prediction", at_predict="return np.full((rows, 2), np.nan)"),
    "wrong schema": Bad(
        "the manifest promises height", spec={"inputs": (InputSpec("height", Kind.NUMBER),)}
    ),
    "wrong shape": Bad("array of shape", at_predict="return np.full((rows, 3), 0.3)"),
    "ten times slower": Bad("times as long as", at_predict=f"time.sleep(0.2); {GOOD}"),
}


def publish(registry: Registry, bad: Bad, name: str) -> Version:
    """A version like version 1, but for what is wrong with it."""
    first = registry.version("churn", 1)
    files = {path: file.read_bytes() for path, file in registry.open_files(first).items()}
    spec = first.manifest.spec
    if bad.spec:
        spec = msgspec.structs.replace(spec, **bad.spec)
    elif bad.code:
        options: dict[str, Any] = {"entry": "bomb:predict"}
        spec = _with_code(spec, "python", "model.zip", options=options)
        files["model.zip"] = archive({"bomb.py": bad.code.encode()})
    else:
        spec = _with_code(spec, "wild", "wild.py")
        code = WILD.format(at_load=bad.at_load, at_predict=bad.at_predict)
        files["wild.py"] = f"# {name}\n{code}".encode()
    manifest = msgspec.structs.replace(
        first.manifest, spec=spec, files=file_entries(files), notes=(name,)
    )
    return registry.publish(manifest, files, by="test", now=datetime.now(UTC))


def _with_code(spec: ModelSpec, runtime: str, main_file: str, **changes: Any) -> ModelSpec:
    return msgspec.structs.replace(
        spec, format=runtime, main_file=main_file, library={}, **{"options": {}, **changes}
    )


def damage(home: Path, version: Version, how: str) -> None:
    """Cut off or change the version's main file where it is stored."""
    digest = next(
        one.digest for one in version.manifest.files if one.path == version.manifest.spec.main_file
    )
    blob = home / "blobs" / "blobs" / "sha256" / digest.removeprefix("sha256:")
    content = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(content[:-40] if how == "cut" else content[:-1] + b"!")


@dataclass
class Server:
    """A project with version 1 live, and its server."""

    project: Project
    registry: Registry
    url: str

    @property
    def run(self) -> Path:
        return self.project.folder / ".shipway" / "run"

    @property
    def state(self) -> EndpointState:
        state = self.registry.endpoint("churn")
        assert state is not None
        return state

    def move(self, number: int) -> EndpointStatus:
        """Change the endpoint behind everybody's back; what the worker says to it."""
        sequence = self.state.sequence
        self.registry.move_endpoint(
            "churn",
            model="churn",
            expected=sequence,
            live=number,
            action="promote",
            by="test",
            reason="",
            evidence=None,
            forced=True,
            now=datetime.now(UTC),
        )
        (worker,) = wait_for_workers(self.run, "churn", sequence + 1, timeout_s=60)
        assert worker.ready
        return worker.endpoints["churn"]

    @contextmanager
    def asked(self) -> Iterator[list[tuple[int, str]]]:
        """A client that asks all the time; what it was answered: status and version."""
        answers: list[tuple[int, str]] = []
        ended = threading.Event()

        def ask() -> None:
            inputs = [
                {"name": "age", "shape": [1], "datatype": "INT64", "data": [40]},
                {"name": "fee", "shape": [1], "datatype": "FP64", "data": [40.0]},
                {"name": "city", "shape": [1], "datatype": "BYTES", "data": ["Lima"]},
            ]
            with httpx.Client(base_url=self.url) as client:
                while not ended.wait(0.005):
                    reply = client.post("/v2/models/churn/infer", json={"inputs": inputs})
                    answers.append((reply.status_code, reply.json().get("model_version", "")))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            eventually(lambda: answers)
            yield answers
        finally:
            ended.set()
            thread.join()


@pytest.fixture(scope="module")
def server(published: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Version 1 is live and served; a runtime is installed whose models do what they like."""
    plugin = tmp_path_factory.mktemp("plugin")
    (plugin / "wild_runtime.py").write_text(WILD_RUNTIME)
    (plugin / "wild-1.0.dist-info").mkdir()
    (plugin / "wild-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: wild\nVersion: 1.0\n"
    )
    (plugin / "wild-1.0.dist-info" / "entry_points.txt").write_text(
        "[shipway.runtimes]\nwild = wild_runtime:load\n"
    )
    environ = {
        "PYTHONPATH": str(plugin),
        "SHIPWAY_SERVE__AUTHENTICATION": "false",
        "SHIPWAY_SERVE__LOAD_TIMEOUT_S": "4",
        "SHIPWAY_SERVE__MODEL_MEMORY_BYTES": str(8 << 30),
    }
    project = published.copy(tmp_path_factory.mktemp("bad") / "project")
    with (
        mock.patch.dict(os.environ, environ),
        project.served() as record,
        open_project(project.folder) as opened,
    ):
        yield Server(project, opened.registry, record.url)


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_version_disturbs_nobody(server: Server, name: str) -> None:
    """Promoting it is refused with the reason and changes nothing; forced upon a worker by other
    ways, it is not loaded either: the worker says why, and every request gets its answer.
    """
    bad = BAD[name]
    version = publish(server.registry, bad, name)
    home = server.project.folder / ".shipway"
    if bad.damage:
        damage(home, version, bad.damage)
    before = server.state
    with server.asked() as answers:
        done = server.project.call("promote", str(version.number), "--force", "--reason", "try")
        assert done.code != 0, done.said
        assert bad.says in done.err
        assert server.state == before
        told = server.move(version.number)
        assert told.live == 1
        assert bad.says in told.error
        assert server.move(1).error == ""
    assert set(answers) == {(200, "1")}
    assert not sleepers()


def test_a_good_version_is_tried_once(server: Server) -> None:
    """A trial that was passed is remembered: nobody makes it again, for a rollback either."""
    version = publish(server.registry, Bad(""), "good")
    for words in (("promote", str(version.number), "--force", "--reason", "try"), ("rollback",)):
        done = server.project.call(*words)
        assert done.code == 0, done.said
    with mock.patch("shipway.bootstrap.trials.start", side_effect=AssertionError("a trial")):
        words = ("promote", str(version.number), "--force", "--reason", "again")
        assert server.project.call(*words).code == 0
        assert server.project.call("rollback").code == 0


def sleepers() -> list[str]:
    """The processes that a fork bomb has left."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes() if folder.name.isdigit() else b""
        except OSError:
            continue
        if SLEEPER.encode() in command and b"sleep" in command[:6]:
            found.append(folder.name)
    return found
