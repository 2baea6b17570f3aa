"""A version is tried out in a process of its own, once for all who ask."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from tests.projects import Flights
from tests.serving_rig import eventually

from shipway.bootstrap.trials import Trials, VersionTrial, opponent
from shipway.domain.model import ModelSpec
from shipway.domain.objectives import Objective
from shipway.errors import DigestMismatch, IntegrityError, ModelFileError, TrialFailed
from shipway.inference.predictor import Pace
from shipway.registry.entries import file_entries
from shipway.registry.opening import open_registry
from shipway.registry.records import Version
from shipway.registry.registry import Registry
from shipway.runtimes import confinement
from shipway.runtimes.port import ProcessLimits
from shipway.runtimes.sources import archive
from shipway.serving.status import is_alive

START = "shipway.bootstrap.trials.start"
LIMITS = ProcessLimits(load_timeout_s=60.0)


@pytest.fixture
def registry(flights: Flights, tmp_path: Path) -> Iterator[Registry]:
    """A store of one's own with version 1 live, and nothing known of any trial."""
    project = flights.copy(tmp_path / "project")
    for record in (project.folder / ".shipway" / "run" / "trials").iterdir():
        record.unlink()
    with open_registry(project.folder / ".shipway") as opened:
        yield opened


@pytest.fixture
def trials(registry: Registry, tmp_path: Path) -> Trials:
    return Trials(tmp_path / "project" / ".shipway", LIMITS)


def first(registry: Registry) -> Version:
    return registry.version("flight-delay", 1)


def published(registry: Registry, code: str, **changes: Any) -> Version:
    """A version of code of its own, its files fetched."""
    live = first(registry)
    files = {path: file.read_bytes() for path, file in registry.open_files(live).items()}
    files["model.zip"] = archive({"serving.py": code.encode()})
    spec: ModelSpec = msgspec.structs.replace(
        live.manifest.spec,
        format="python",
        main_file="model.zip",
        library={},
        options={"entry": "serving:predict"},
    )
    manifest = msgspec.structs.replace(
        live.manifest, spec=spec, files=file_entries(files), **changes
    )
    version = registry.publish(manifest, files, by="test", now=datetime.now(UTC))
    registry.open_files(version)
    return version


def ended(*trials: VersionTrial) -> None:
    """Ask until all have got through."""
    for trial in trials:
        eventually(trial.poll, timeout_s=60)


def test_several_workers_share_one_trial(registry: Registry, trials: Trials) -> None:
    """One makes the trial, the others wait for what it finds; afterwards it is remembered."""
    with mock.patch(START, wraps=confinement.start) as start:
        three = [trials.begin(first(registry)) for _ in range(3)]
        assert sum(trial.poll() for trial in three) == 0
        ended(*three)
        ended(trials.begin(first(registry)))
        trials.run(registry, first(registry))
        assert start.call_count == 1
    pace = trials.pace_of(first(registry))
    assert pace is not None
    assert pace.one_row_s > 0


def test_whoever_gives_up_leaves_it_to_another(registry: Registry, trials: Trials) -> None:
    """An abandoned trial ends its process and lets the next one make it."""
    making, waiting = trials.begin(first(registry)), trials.begin(first(registry))
    assert not making.poll()
    assert making._process is not None
    pid = making._process._confined.process.pid
    assert not waiting.poll()
    assert waiting._process is None
    making.abandon()
    assert not is_alive(pid)
    ended(waiting)


def test_a_failure_is_known_to_all_and_can_be_tried_anew(
    registry: Registry, trials: Trials
) -> None:
    """Workers believe a trial that failed just now; who promotes has it made again."""
    version = published(registry, "raise OSError('no')")
    with mock.patch(START, wraps=confinement.start) as start:
        for _ in range(2):
            with pytest.raises(ModelFileError, match="OSError: no"):
                ended(trials.begin(version))
        assert start.call_count == 1
        with pytest.raises(ModelFileError, match="OSError: no"):
            trials.run(registry, version)
        assert start.call_count == 2


def test_other_libraries_make_another_trial(registry: Registry, trials: Trials) -> None:
    """A version that was good with one release of a library is tried again with the next."""
    ended(trials.begin(first(registry)))
    with mock.patch("shipway.bootstrap.trials.installed", return_value={"onnxruntime": "99.0"}):
        assert trials.pace_of(first(registry)) is None


def test_damage_is_not_remembered(registry: Registry, trials: Trials) -> None:
    """A version whose bytes are restored is good again at once."""
    version = published(registry, "def predict(frame): return frame['distance'] * 0 + 0.5")
    entry = next(one for one in version.manifest.files if one.path == "model.zip")
    blob = trials.home / "blobs" / "blobs" / "sha256" / entry.digest.removeprefix("sha256:")
    content = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(content[:-1])
    shutil.rmtree(trials.home / "cache" / version.digest.removeprefix("sha256:"))
    with pytest.raises(DigestMismatch):
        trials.run(registry, version)
    with pytest.raises(IntegrityError, match="not in"):
        ended(trials.begin(version))
    blob.write_bytes(content)
    trials.run(registry, version)


def test_a_run_folder_that_cannot_be_written_costs_only_the_memory(
    registry: Registry, trials: Trials, tmp_path: Path
) -> None:
    """Where nothing can be kept, each trial is made anew, and made."""
    (tmp_path / "project" / ".shipway" / "run" / "trials").rmdir()
    (tmp_path / "project" / ".shipway" / "run" / "trials").touch()
    trials.run(registry, first(registry))
    assert trials.pace_of(first(registry)) is None


def test_the_trial_knows_no_secret(registry: Registry, trials: Trials) -> None:
    """Keys in the environment of whoever promotes are not handed on."""
    seen: list[dict[str, str]] = []

    def start(*arguments: Any, **options: Any) -> Any:
        seen.append(options["environment"])
        return confinement.start(*arguments, **options)

    told = replace(trials, environ={**os.environ, "SHIPWAY_KEY": "secret", "AWS_SECRET": "secret"})
    with mock.patch(START, start):
        told.run(registry, first(registry))
    (environment,) = seen
    assert "secret" not in environment.values()


def slow(registry: Registry, *objectives: Objective) -> Version:
    """A version that takes 80 ms for a row, and has no objectives but these."""
    code = (
        "import time\ndef predict(frame):\n    time.sleep(0.08)\n    return frame['distance'] * 0"
    )
    of_live = first(registry).manifest.objectives
    own = msgspec.structs.replace(of_live, objectives=objectives)
    return published(registry, code, objectives=own)


def test_ten_times_slower_is_too_slow(registry: Registry, trials: Trials) -> None:
    """A version far slower than what is live is refused, unless its own objective allows it."""
    trials.remember(first(registry), Pace(0.001, 1000.0))
    with pytest.raises(TrialFailed, match="times as long"):
        trials.run(registry, slow(registry), against=first(registry))
    allowed = Objective(metric="latency_p99_ms", at_most=60_000.0)
    trials.run(registry, slow(registry, allowed), against=first(registry))


def test_slow_as_what_is_live_is_good_enough(registry: Registry, trials: Trials) -> None:
    """Slow alone is no fault: what is live may be as slow, or its pace may not be known."""
    version = slow(registry)
    trials.run(registry, version, against=first(registry))
    trials.remember(first(registry), Pace(0.05, 20.0))
    trials.run(registry, version, against=first(registry))


def test_the_way_back_is_not_raced(registry: Registry, trials: Trials) -> None:
    """A version is held against the one that is live, but not one that had been live before."""
    one, two = first(registry), slow(registry)
    assert opponent(registry, "flight-delay", two) == one
    assert opponent(registry, "flight-delay", one) is None
    assert opponent(registry, "another", two) is None
    registry.move_endpoint(
        "flight-delay",
        model="flight-delay",
        expected=1,
        live=2,
        action="promote",
        by="test",
        reason="",
        evidence=None,
        forced=True,
        now=datetime.now(UTC),
    )
    assert opponent(registry, "flight-delay", one) is None
    assert opponent(registry, "flight-delay", two, before=2) == one


def test_a_trial_has_its_time(registry: Registry, trials: Trials) -> None:
    """A version that hangs is given up when its time is over."""
    version = published(registry, "import time\ntime.sleep(100)")
    short = replace(trials, limits=ProcessLimits(load_timeout_s=2.0))
    began = time.monotonic()
    with pytest.raises((TrialFailed, ModelFileError), match="within 2 s"):
        short.run(registry, version)
    assert time.monotonic() - began < 30
