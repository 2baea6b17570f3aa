"""Eight processes use a store at once and are killed at any moment: what was said holds."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.soak.scale import sized
from tests.survival.invariants import breaches_at, rows_of
from tests.survival.zygote import Zygote

from shipway.errors import IntegrityError
from shipway.registry.opening import open_registry
from shipway.registry.restoring import restore

KILLS = sized(25, 500)
WRITERS = 8
A_ROUND = 25
"""After so many kills all are killed, and the store is looked at."""


def acknowledged(notes: Path) -> list[tuple[str, dict[str, object]]]:
    """What the writers have said; a line that was cut short said nothing."""
    found: list[tuple[str, dict[str, object]]] = []
    for file in sorted(notes.glob("*.notes")):
        *whole, _cut = file.read_bytes().split(b"\n")
        found += [tuple(json.loads(line)) for line in whole]
    return found


def lost(home: Path, told: list[tuple[str, dict[str, object]]]) -> list[str]:
    """Which of *told* the store in *home* does not know of."""
    with open_registry(home) as registry:
        rows = rows_of(registry)
    known = {
        table: {tuple(sorted(row.items())) for row in each} for table, each in _shortened(rows)
    }
    return [
        f"{table}: {row}"
        for table, row in told
        if table != "backup" and tuple(sorted(row.items())) not in known.get(table, set())
    ]


_SAID = {
    "versions": ("model", "number", "digest"),
    "version_changes": ("model", "number", "sequence"),
    "endpoint_changes": ("endpoint", "sequence", "live"),
    "evidence": ("id", "model"),
}


def _shortened(
    rows: dict[str, list[dict[str, object]]],
) -> list[tuple[str, list[dict[str, object]]]]:
    return [
        (table, [{name: row[name] for name in names} for row in rows[table]])
        for table, names in _SAID.items()
    ]


def broken_backups(told: list[tuple[str, dict[str, object]]], folder: Path) -> list[str]:
    """Which of the newest backups cannot be restored to a store that is whole."""
    found: list[str] = []
    paths = [Path(str(row["path"])) for table, row in told if table == "backup"]
    for path in list(dict.fromkeys(reversed(paths)))[:3]:
        home = folder / "restored"
        try:
            restore(path, home)
            found += breaches_at(home)
        except IntegrityError as error:
            found.append(f"{path.name}: {error.message}")
        finally:
            shutil.rmtree(home, ignore_errors=True)
    return found


def test_killed_among_eight(tmp_path: Path) -> None:
    """Nothing acknowledged is lost, no version is half, no number skipped, whenever it happens."""
    home, notes = tmp_path / "store", tmp_path / "notes"
    notes.mkdir()
    chance = random.Random(20260101)
    kills = started = 0
    seconds: list[float] = []
    with Zygote("tests.survival.writers") as zygote:
        while kills < KILLS:
            for _ in range(min(A_ROUND, KILLS - kills)):
                while len(zygote.running) < WRITERS:
                    started += 1
                    name = f"w{started:04d}"
                    zygote.start(str(home), str(notes / f"{name}.notes"), name)
                time.sleep(chance.uniform(0.0, 0.08))
                zygote.kill(chance.choice(zygote.running))
                kills += 1
            for pid in zygote.running:
                zygote.kill(pid)
            begun = time.monotonic()
            open_registry(home).close()
            seconds.append(time.monotonic() - begun)
            told = acknowledged(notes)
            assert lost(home, told) == []
            assert broken_backups(told, tmp_path) == []
            copy = tmp_path / "copy"
            shutil.copytree(home, copy)
            assert breaches_at(copy) == []
            shutil.rmtree(copy)
    said = Counter(table for table, _ in told)
    print(f"\n{kills} kills among {WRITERS} writers, {dict(said)}, opened in {max(seconds):.2f} s")  # noqa: T201
    assert len(said) >= 4
    assert said["versions"] >= KILLS // 4


def test_a_lost_acknowledgement_is_found_out(tmp_path: Path) -> None:
    """A control: a version that was acknowledged and is not there is told."""
    open_registry(tmp_path / "store").close()
    row: dict[str, object] = {"model": "fraud", "number": 1, "digest": "sha256:0"}
    assert lost(tmp_path / "store", [("versions", row)])


@pytest.mark.parametrize("what", ["cut", "missing"])
def test_a_half_version_is_found_out(tmp_path: Path, what: str) -> None:
    """A control: a version whose file is cut short or missing is told."""
    from tests.stores import Store

    store = Store(tmp_path / "store")
    blob = store.blob(store.publish("a"), "model.onnx")
    store.registry.close()
    if what == "cut":
        blob.write_bytes(blob.read_bytes()[:100])
    else:
        blob.unlink()
    assert breaches_at(tmp_path / "store")
