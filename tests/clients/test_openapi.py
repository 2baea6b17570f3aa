"""The OpenAPI document, judged by schemathesis: what it promises is what the server does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.conftest import KEY, Called
from tests.frames_rig import FRAME
from tests.soak.scale import sized

from shipway.contract.example import example_row

CASES = sized(15, 2_000)


@pytest.fixture(scope="module")
def document(called: Called) -> Any:
    """The document of a server of two models."""
    url = f"http://{called.address}/openapi.json"
    return httpx.get(url, headers=called.headers).raise_for_status().json()


@dataclass(frozen=True)
class Judged:
    """What schemathesis found of some operations, which are named by *what*."""

    what: str
    cases: int
    failed: int
    seconds: float
    told: str


def judge(url: str, key: list[str], phases: str, paths: Sequence[str], folder: Path) -> Judged:
    """Have *paths* tried in *phases*; ``failed`` is -1 if schemathesis itself ended in error."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", url, *key, "--max-examples", str(CASES),
        "--phases", phases, "--seed", "1", "--continue-on-failure", "--no-color",
        "--generation-database", "none", "--report-json-path", str(report),
        *(word for path in paths for word in ("--include-path", path)),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    told = done.stdout[-6_000:] + done.stderr[-2_000:]
    what = paths[0] if len(paths) == 1 else f"{len(paths)} paths, {phases}"
    if not report.exists():
        return Judged(what, 0, -1, 0.0, told)
    found = json.loads(report.read_text())
    cases = found["test_cases"]
    failed = cases["with_failures"] + cases["errored"] or -bool(done.returncode)
    return Judged(what, cases["generated"], failed, found["running_time"], told)


def parts(document: Any) -> list[tuple[str, list[str]]]:
    """Phases and the paths to try in them: one at once where much is tried of each."""
    paths = list(document["paths"])
    if sized(0, 1) == 0:
        return [("examples,fuzzing", paths)]
    asked = [path for path in paths if "requestBody" in document["paths"][path].get("post", {})]
    plain = [path for path in paths if path not in asked]
    whole = [("examples,coverage,fuzzing", one) for one in (plain, *([path] for path in asked))]
    return [*whole, ("stateful", paths)]


@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("server", ["called", "open_to_all"])
def test_schemathesis_finds_nothing(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """All of schemathesis' checks hold: good requests are taken, bad ones refused, both as told."""
    called: Called = request.getfixturevalue(server)
    url = f"http://{called.address}/openapi.json"
    key = ["--header", f"Authorization: Bearer {KEY}"] if server == "called" else []
    faults = []
    document = httpx.get(url, headers=called.headers).raise_for_status().json()
    for phases, paths in parts(document):
        judged = judge(url, key, phases, paths, tmp_path)
        print(  # noqa: T201
            f"{judged.what}: {judged.cases} cases, {judged.failed} failed, {judged.seconds:.0f} s",
            flush=True,
        )
        assert judged.failed or judged.cases, judged.told
        faults += [judged.told] if judged.failed else []
    assert not faults, "\n".join(faults)


def test_every_route_is_told(called: Called, document: Any) -> None:
    """The document leaves out no route but aliases, and what is there only to be refused."""
    plane = called.world.worker._plane
    paths = {path.decode() for path in plane._table}
    silent = {"/", "/v2/", "/version", "/openapi.json", "/invocations"}
    refused = {path for path in paths if path.endswith((":explain", "/load", "/unload"))}
    kept = {path for path in paths if "memory" in path or "trace" in path or "logging" in path}
    assert set(document["paths"]) == paths - silent - refused - kept


def test_the_one_models_invocations_are_told(open_to_all: Called) -> None:
    """Where one model is served, the route that names none is in the document, and no key is."""
    told = httpx.get(f"http://{open_to_all.address}/openapi.json").json()
    assert "/invocations" in told["paths"]
    assert "security" not in told


def test_examples_are_real(called: Called, document: Any) -> None:
    """The example of every predicting route is the contract's own row, and it is answered."""
    asked = 0
    for path, item in document["paths"].items():
        body = item.get("post", {}).get("requestBody", {}).get("content", {})
        example = body.get("application/json", {}).get("example")
        if example is not None:
            url = f"http://{called.address}{path}"
            assert httpx.post(url, json=example, headers=called.headers).status_code == 200
            asked += 1
    assert asked == 9
    infer = document["paths"]["/v2/models/frame/infer"]["post"]["requestBody"]["content"]
    inputs = infer["application/json"]["example"]["inputs"]
    row = example_row(FRAME)
    assert {one["name"]: one["data"] for one in inputs} == {
        column.name: [row[column.name]] for column in FRAME.features
    }


def test_limits_are_told(called: Called, document: Any) -> None:
    """The limits of this server stand in its document."""
    limits = called.world.worker._options.limits
    for limit in (limits.max_body_bytes, limits.max_json_depth, limits.max_elements):
        assert str(limit) in document["info"]["description"]
