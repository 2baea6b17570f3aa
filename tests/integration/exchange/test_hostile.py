"""Artefacts made to do harm: each is refused by its own error, and leaves nothing anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.integration.exchange.artefacts import project_in, served, write_layout, write_tar
from tests.integration.exchange.harms import CASES

from shipway.api.project import open_project
from shipway.api.pull import pull
from shipway.domain.digests import digest_of
from shipway.errors import ShipwayError
from shipway.exchange import session


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two attempts."""
    monkeypatch.setattr(session, "_FIRST_WAIT_S", 0.0)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What has to be ended."""
    with ExitStack() as opened:
        yield opened


def everything(folder: Path) -> dict[str, object]:
    """Every file below *folder* by its path, with its size and when it was changed."""
    return {
        str(path): (status.st_mode, status.st_size, status.st_mtime_ns)
        for path in folder.rglob("*")
        if ".shipway" not in path.parts and (status := path.lstat())
    }


@pytest.mark.parametrize("case", CASES)
def test_what_is_made_to_do_harm_is_refused(case: str, tmp_path: Path, stack: ExitStack) -> None:
    """The error says what is wrong; nothing is published, kept or written outside."""
    make, code, says = CASES[case]
    folder = project_in(tmp_path / "project")
    with open_project(folder, environ={}) as project:
        assert project.registry.models() == {}
        address = make(tmp_path, stack)
        before = everything(tmp_path)
        with pytest.raises(ShipwayError) as caught:
            pull(project, address)
        error = caught.value
        assert says in str(error)
        assert error.code == code
        assert error.next_step
        assert project.registry.models() == {}
        assert not list((folder / ".shipway" / "blobs" / "blobs" / "sha256").iterdir())
        assert everything(tmp_path) == before
        lines = (folder / ".shipway" / "audit").glob("*.jsonl")
        assert f'"code":"{code}"' in "".join(path.read_text() for path in lines)


def test_what_is_whole_is_taken(tmp_path: Path) -> None:
    """The version that all others here are made from comes in by each way: the harm is refused."""
    packed = write_layout(tmp_path / "layout")
    tar = write_tar(tmp_path / "layout.tar", base=tmp_path / "layout")
    with (
        open_project(project_in(tmp_path / "project"), environ={}) as project,
        served(tmp_path / "layout") as address,
    ):
        for place in (f"{address}/a:1", str(tmp_path / "layout"), str(tar)):
            assert pull(project, place).artifact == digest_of(packed)
        assert project.registry.models() == {"flight-delay": 1}
