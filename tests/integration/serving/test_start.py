"""How a server begins, or says why it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving_child import FileRegistry

from shipway.bootstrap.processes import server_plan
from shipway.config.settings import ServeSettings
from shipway.cores import usable_cores
from shipway.errors import EnvironmentFailure
from shipway.registry.addresses import Addresses
from shipway.serving.plan import ServerPlan
from shipway.serving.status import read_server
from shipway.serving.supervisor import supervise

ROOT = Path(__file__).parents[3]
MODULES = ("json", "queue", "selectors", "numpy", "uvloop", "shipway")


def test_a_live_version_that_does_not_load_is_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that could answer nothing says why and ends; nobody is told that it runs."""
    FileRegistry(tmp_path).promote(13)
    (tmp_path / "options.json").write_text("{}")
    monkeypatch.chdir(ROOT)
    command = (sys.executable, "-m", "tests.serving_child")
    plan = ServerPlan(
        host="127.0.0.1",
        port=0,
        control_port=0,
        workers=1,
        worker_command=(*command, "worker", str(tmp_path)),
        control_command=(*command, "control", str(tmp_path)),
        run=tmp_path / "run",
        drain_wait_s=0.1,
        drain_timeout_s=1.0,
    )
    with pytest.raises(EnvironmentFailure, match="version 13 is broken"):
        supervise(plan, announce=lambda _: pytest.fail("it was announced"))
    assert read_server(plan.run) is None


def test_children_import_nothing_from_the_working_folder(tmp_path: Path) -> None:
    """A file that lies about in the project, whatever its name, is not run by the server."""
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run by accident')\n")
    plan = server_plan(tmp_path / "home", "m", ServeSettings(), environ={})
    assert plan.zygote_command is not None
    for command in (plan.worker_command, plan.control_command, plan.zygote_command):
        done = subprocess.run(
            [*command, "--nothing"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert "run by accident" not in done.stderr
        assert "is missing: this program is started by the server alone" in done.stderr


def test_children_hold_no_secret(tmp_path: Path) -> None:
    """What only a client or a sender of alerts needs does not reach the processes of models."""
    environ = {
        "SHIPWAY_KEY": "shipway_live_x",
        "SHIPWAY_ALERTS__WEBHOOK": "https://chat.example/hush",
        "HOME": "/home/anna",
    }
    plan = server_plan(tmp_path, "m", ServeSettings(), environ=environ)
    assert plan.environment is not None
    assert {name: plan.environment.get(name) for name in environ} == {
        "SHIPWAY_KEY": None,
        "SHIPWAY_ALERTS__WEBHOOK": None,
        "HOME": "/home/anna",
    }
    assert "hush" not in " ".join((*plan.worker_command, *plan.control_command))


def test_children_can_open_a_store_elsewhere(tmp_path: Path) -> None:
    """They are told the database without its password, which libpq finds in their environment."""
    address = "postgresql://anna:hush@db.example/shipway"
    plan = server_plan(
        tmp_path,
        "m",
        ServeSettings(),
        addresses=Addresses(records=address, blobs="s3://bucket/x"),
        environ={"SHIPWAY_STORE__URL": address, "PGPASSWORD": "another"},
    )
    assert plan.environment is not None
    assert plan.environment["PGPASSWORD"] == "hush"
    assert "SHIPWAY_STORE__URL" not in plan.environment
    words = " ".join((*plan.worker_command, *plan.control_command, *(plan.zygote_command or ())))
    assert "hush" not in words
    assert "postgresql://anna@db.example/shipway" in words


def test_a_failing_child_tells_in_one_line(tmp_path: Path) -> None:
    """A child that cannot start logs one line of JSON with what to do, and no traceback."""
    plan = server_plan(tmp_path / "home", "m", ServeSettings(), environ={})
    done = subprocess.run(
        plan.worker_command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("{")
    assert "run `shipway serve`" in line


def test_workers_and_threads_of_the_cores_there_are(tmp_path: Path) -> None:
    """Workers, and threads for each, are as many as may be used; what the user says stands."""
    cores = usable_cores()
    settings = ServeSettings(workers=0, threads=0)
    plan = server_plan(tmp_path, "m", settings, environ={"OMP_NUM_THREADS": "7"})
    assert plan.workers == cores
    assert plan.environment is not None
    assert plan.environment["OMP_NUM_THREADS"] == "7"
    assert plan.environment["POLARS_MAX_THREADS"] == "1"
    alone = server_plan(tmp_path, "m", ServeSettings(workers=1, threads=0), environ={})
    assert f'"threads":{cores}' in alone.worker_command[-1]
    assert alone.environment is not None
    assert alone.environment["OMP_NUM_THREADS"] == str(cores)


def loaded(statement: str) -> set[str]:
    """The modules that *statement* brings into a fresh process."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_a_start_waits_for_no_library_in_vain() -> None:
    """What begins a server, and what its workers come from, import only what they use."""
    begins = loaded("import shipway.api.serve")
    assert begins.isdisjoint({"numpy", "polars", "alembic", "scipy", "onnxruntime", "httpx"})
    assert begins.isdisjoint({"rich", "shipway.security.issuer", "joserfc"})
    forks = loaded("import shipway.bootstrap.zygote")
    assert {"uvloop", "numpy", "sqlalchemy"} <= forks
    assert forks.isdisjoint({"polars", "alembic", "scipy", "litestar", "uvicorn", "httptools"})
    assert forks.isdisjoint({"rich", "http.client", "shipway.security.issuer", "joserfc"})
