"""What all tests share: the marker for programs of the system, and a project on real flights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tests.databases import Postgres, postgres_cluster, postgres_program
from tests.objects import ObjectStorage, object_storage

if TYPE_CHECKING:
    from tests.projects import Flights


# A loaded machine is no fault of the code: nothing here fails for taking long.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


_PACKAGES = {"postgres": "postgresql"}


def _found(program: str) -> str | None:
    return postgres_program(program) if program == "postgres" else shutil.which(program)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs an absent program, naming it; under CI the absence is a failure."""
    for item in items:
        for marker in item.iter_markers("needs"):
            program = marker.args[0]
            if _found(program) is None and not os.environ.get("CI"):
                package = _PACKAGES.get(program, program)
                reason = f"{program} is not installed: apt-get install {package}"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _programs(request: pytest.FixtureRequest) -> None:
    for marker in request.node.iter_markers("needs"):
        if _found(marker.args[0]) is None:
            pytest.fail(f"{marker.args[0]} is not installed, and CI skips nothing")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; mark what uses it ``needs("postgres")``, and leave it running."""
    with postgres_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    """An S3 server; who stops it starts it again."""
    with object_storage(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def s3(objects: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """The same, with its address and credentials in the environment."""
    for name, value in objects.environment.items():
        monkeypatch.setenv(name, value)
    return objects


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """Real flights, a trained pipeline and settings; nothing of Shipway's was run yet."""
    import polars as pl
    from tests.projects import Flights

    from shipway.examples.flights.data import TARGET, TIME, load_flights
    from shipway.examples.flights.story import LIVE_FROM, SETTINGS, TEST_FROM
    from shipway.examples.flights.training import train

    folder = tmp_path_factory.mktemp("flights")
    (folder / "data").mkdir()
    flights = load_flights()
    known = flights.filter(pl.col(TARGET).is_not_null())
    early = known.filter(pl.col(TIME) < TEST_FROM).gather_every(3)
    test = known.filter(pl.col(TIME).is_between(TEST_FROM, LIVE_FROM, closed="left"))
    early.write_parquet(folder / "data" / "train.parquet")
    test.write_parquet(folder / "data" / "test.parquet")
    train(early, folder / "model.joblib")
    (folder / "shipway.toml").write_text(SETTINGS, encoding="utf-8")
    later = flights.filter(pl.col(TIME) >= datetime(2013, 4, 1, tzinfo=UTC))
    return Flights(folder, later)


@pytest.fixture(scope="session")
def flights(untouched: Flights, tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """The same with a contract, version 1 published, gated and live. Only to be read."""
    project = untouched.copy(tmp_path_factory.mktemp("published"))
    project.json("contract", "infer")
    project.json("pack", "model.joblib", "--trust-pickle")
    project.json("gate")
    project.json("promote", "1")
    return project
