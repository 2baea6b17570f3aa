"""A scoring job that is cut off goes on: every row is answered once, and the bytes are the same."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.identities import Reader, keyring
from tests.scoring_child import run, table
from tests.soak.scale import sized

from shipway import durable
from shipway.batch import parts as parts_module
from shipway.errors import (
    ConflictError,
    ContractViolated,
    ShipwayError,
    StoreError,
    UnreadableTable,
)
from shipway.monitoring.reader import EventReader
from shipway.monitoring.scored import Seen
from shipway.security.sealing import NO_KEYRING, Keyring

ROWS = 10_400
CHUNKS = 11


@pytest.fixture(params=[".parquet", ".csv"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A table with bad rows, in each format."""
    path = tmp_path / f"in{request.param}"
    frame = table(ROWS, bad_every=97)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path, row_group_size=3_333, compression="zstd")
    return path


def results(folder: Path) -> dict[str, bytes]:
    """What a job left in *folder*."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def made(source: Path, folder: Path) -> dict[str, bytes]:
    """What an undisturbed run makes in the new *folder*."""
    folder.mkdir()
    run(source, folder / "out.parquet")
    return results(folder)


@pytest.fixture
def expected(source: Path, tmp_path: Path) -> dict[str, bytes]:
    """What it must come to."""
    found = made(source, tmp_path / "expected")
    assert set(found) == {"out.parquet", "out.parquet.quarantine.csv"}
    return found


def test_every_row_once(source: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    """Undisturbed, twice: all rows in their order, the same bytes, and nothing else left."""
    frame = pl.read_parquet(tmp_path / "expected" / "out.parquet")
    bad = pl.read_csv(tmp_path / "expected" / "out.parquet.quarantine.csv")
    assert sorted([*frame["row"], *bad["row"]]) == list(range(ROWS))
    assert frame["row"].is_sorted()
    assert bad.height == len(range(3, ROWS, 97))
    assert made(source, tmp_path / "again") == expected


@pytest.mark.parametrize("fails_at", [*range(1, 2 * CHUNKS, 5), 3 * CHUNKS])
def test_a_full_disk_anywhere(
    fails_at: int,
    source: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error is clear, no output is there, and the next run goes on without a row twice."""
    real, calls = durable.replace_file, 0

    def full(path: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(errno.ENOSPC, "full")
        real(path, data)

    folder = tmp_path / "disturbed"
    folder.mkdir()
    monkeypatch.setattr(parts_module, "replace_file", full)
    first: list[int] = []
    with pytest.raises(StoreError, match="is full"):
        run(source, folder / "out.parquet", first.append)
    assert results(folder) == {}
    second: list[int] = []
    run(source, folder / "out.parquet", second.append)
    assert results(folder) == expected
    assert not (folder / ".out.parquet.parts").exists()
    answered = pl.read_parquet(folder / "out.parquet").height
    # The part that was being written and the one that was predicted meanwhile are made again.
    assert answered <= sum(first) + sum(second) <= answered + 2_000


@pytest.mark.slow
def test_killed_anywhere(tmp_path: Path) -> None:
    """Killed at random moments and run again, the output is the same byte for byte."""
    source = tmp_path / "in.parquet"
    table(sized(200_000, 1_000_000), bad_every=9_973).write_parquet(source)
    folder = tmp_path / "expected"
    folder.mkdir()
    began = time.perf_counter()
    subprocess.run(command(source, folder), check=True)
    whole_s = time.perf_counter() - began
    expected = results(folder)
    choose = random.Random(5)
    cut_off = 0
    for trial in range(sized(6, 100)):
        folder = tmp_path / f"trial{trial}"
        folder.mkdir()
        process = subprocess.Popen(command(source, folder))
        try:
            process.wait(choose.uniform(0.3, 1.0) * whole_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            cut_off += 1
            assert set(results(folder)) <= set(expected)
        subprocess.run(command(source, folder), check=True)
        assert results(folder) == expected
    assert cut_off


def command(source: Path, folder: Path) -> list[str]:
    """What scores *source* in a process of its own."""
    return [sys.executable, "-m", "tests.scoring_child", str(source), str(folder / "out.parquet")]


def test_two_runs_at_once(source: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    """The second is refused and disturbs nothing; the first ends as if alone."""
    folder = tmp_path / "both"
    folder.mkdir()
    begun, go_on = threading.Event(), threading.Event()

    def called(_: int) -> None:
        begun.set()
        assert go_on.wait(30)

    first = threading.Thread(target=run, args=(source, folder / "out.parquet", called))
    first.start()
    assert begun.wait(30)
    with pytest.raises(ConflictError, match="being made by another run"):
        run(source, folder / "out.parquet")
    go_on.set()
    first.join()
    assert results(folder) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(path.read_bytes() + b" "),
        lambda path: path.rename(path.with_name("away")),
        lambda path: (
            path.with_name("new").write_bytes(b"x") and path.with_name("new").replace(path)
        ),
    ],
    ids=["cut short", "longer", "taken away", "replaced"],
)
def test_an_input_that_changes_is_refused(
    change: Callable[[Path], object], source: Path, tmp_path: Path
) -> None:
    """Half of one table and half of another are never one result."""
    output = tmp_path / "out" / "out.parquet"
    output.parent.mkdir()
    changed: list[object] = []

    def called(_: int) -> None:
        if not changed:
            changed.append(change(source))

    with pytest.raises(UnreadableTable, match="changed while it was being scored"):
        run(source, output, called)
    assert list(output.parent.iterdir()) == []


def test_a_corrupt_row_group(tmp_path: Path) -> None:
    """It is told, with what to do, and nothing is written."""
    source = tmp_path / "in.parquet"
    table(ROWS).write_parquet(source, row_group_size=2_000, compression="zstd")
    data = bytearray(source.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = bytes(third)
    source.write_bytes(bytes(data))
    with pytest.raises(ShipwayError) as caught:
        run(source, tmp_path / "out.parquet")
    assert isinstance(caught.value, UnreadableTable)
    assert "in.parquet" in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def cut_off(source: Path, output: Path, after: int) -> None:
    """Leave a job as a kill does after *after* chunks."""
    calls = []

    def called(_: int) -> None:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, output, called)


def test_a_part_that_was_altered_is_made_again(
    source: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """What lies there is believed by its digest alone."""
    folder = tmp_path / "cut"
    folder.mkdir()
    cut_off(source, folder / "out.parquet", 6)
    parts = folder / ".out.parquet.parts"
    (parts / "00000002.rows").write_bytes(b"altered")
    (parts / "00000004.json").write_bytes(b"{")
    rows: list[int] = []
    run(source, folder / "out.parquet", rows.append)
    assert results(folder) == expected
    assert len(rows) == CHUNKS - 6 + 2


def test_parts_of_another_job_are_not_used(source: Path, tmp_path: Path) -> None:
    """Another version, or other bytes of the same table, begin anew."""
    folder = tmp_path / "cut"
    folder.mkdir()
    for other in ("version", "input"):
        cut_off(source, folder / "out.parquet", 4)
        if other == "input":
            source.write_bytes(source.read_bytes())  # the same bytes are the same job
        rows: list[int] = []
        version = "toy@2" if other == "version" else "toy@1"
        run(source, folder / "out.parquet", rows.append, version=version)
        assert len(rows) == (CHUNKS if other == "version" else CHUNKS - 4)
        found = pl.read_parquet(folder / "out.parquet")["model_version"].unique().to_list()
        assert found == [version]


def test_too_many_bad_rows_leave_no_parts(source: Path, tmp_path: Path) -> None:
    """What the next run would meet too is not kept; the quarantine is."""
    folder = tmp_path / "bad"
    folder.mkdir()
    with pytest.raises(ContractViolated):
        run(source, folder / "out.parquet", max_bad_share=0.001)
    assert [path.name for path in folder.iterdir()] == ["out.parquet.quarantine.csv"]


@pytest.mark.parametrize("ring", [NO_KEYRING, keyring(Reader())], ids=["plain", "encrypted"])
def test_monitoring_sees_each_row_once(ring: Keyring, source: Path, tmp_path: Path) -> None:
    """Cut off, gone on, and run again: the events are those of one job, with its ids and inputs."""
    seen = Seen(folder=tmp_path / "events", keyring=ring, endpoint="toy", model="toy", version=1)
    output = tmp_path / "out.parquet"
    calls = []

    def called(_: int) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, output, called, seen=seen)
    assert EventReader(seen.folder, keyring=ring).refresh().height == 0
    for _ in range(2):
        run(source, output, seen=seen)
        scored = pl.read_parquet(output)
        events = EventReader(seen.folder, keyring=ring).refresh().sort("row")
        assert events.height == scored.height
        assert events["prediction_id"].to_list() == scored["prediction_id"].to_list()
        assert events["score"].to_list() == scored["score"].to_list()
        assert events["label"].to_list() == scored["prediction"].to_list()
        assert events["input.x"].to_list() == scored["x"].to_list()
        assert set(events["caller"]) == {"batch"}
        # Nor is a part seen twice under two names, whenever the job is run again.
        assert len(list((seen.folder / "segments").iterdir())) == CHUNKS
