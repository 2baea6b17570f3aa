"""The audit log of a store: whole, in order, found out when it is tampered with."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import msgspec
import pytest
from tests.logs import checked
from tests.stores import Store, files, manifest

from shipway.domain.digests import canonical_json, digest_of
from shipway.errors import NotFoundError, StoreError
from shipway.registry.ports import MetadataStore, WriteLines
from shipway.registry.records import EndpointChange, VersionChange
from shipway.registry.trail import Trail
from shipway.registry.trail_files import read_lines, read_tombstone, segments
from shipway.security.acting import Actor, acting, process_owner
from shipway.security.audit import CHECKPOINT, Entry, Head, Line, line_bytes, line_digest, read_line
from shipway.security.audit_check import Checked
from shipway.security.keys import issue
from shipway.security.policy import Scope

MODEL = "flight-delay"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Records:
    """The ends of logs, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Head] = {}

    def settle(self, chain: str, write: WriteLines) -> None:
        head = write(self.kept.get(chain), ())
        if head is not None:
            self.kept[chain] = head

    def heads(self) -> tuple[Head, ...]:
        return tuple(self.kept.values())


class Clock:
    """A clock that is moved on by hand."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> datetime:
        return self.now


class Log:
    """A log in a folder, with what its records know."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.clock, self.records = Clock(), Records()
        self.trail = Trail(folder, self.records, clock=self.clock, **options)  # type: ignore[arg-type]
        self.folder = folder

    def write(self, count: int, *, each: timedelta = timedelta(0)) -> None:
        for number in range(count):
            self.clock.now += each
            self.trail.record(Entry(what="test", object=str(number)))

    def check(self) -> Checked:
        (head,) = self.records.heads()
        return checked(self.folder, head)

    def lines(self) -> list[Line]:
        return [read_line(data) for _, data in read_lines(self.folder)]


def codes(found: Checked) -> set[str]:
    return {problem.code for problem in found.problems}


def told(store: Store) -> list[tuple[str, str, str, str]]:
    lines = (read_line(data) for _, data in read_lines(store.home / "audit"))
    return [(one.what, one.object, one.outcome, one.code) for one in lines]


def test_every_change_is_a_line(store: Store) -> None:
    """Publishing, gating, promoting, keys and revoking are each a line, with who did it."""
    anna = Actor(id="a1B2", key="a1B2", source="10.0.0.1", request="r1")
    _, key = issue(scopes=[Scope.VIEW], now=store.now, random=os.urandom, name="website")
    with acting(anna):
        store.publish("a")
        evidence = store.registry.record_evidence(
            MODEL, 1, kind="gate", verdict="pass", body={}, now=store.now
        )
        store.registry.move_endpoint(
            MODEL, model=MODEL, expected=0, live=1, action="promote", by="anna", reason="secret",
            evidence=evidence.id, now=store.now,
        )  # fmt: skip
        store.registry.add_key(key)
        store.registry.revoke_key(key.id, now=store.now)
        with pytest.raises(NotFoundError):
            store.registry.revoke_key("nobody", now=store.now)
    assert told(store) == [
        ("audit.begin", "", "done", ""),
        ("version.publish", f"{MODEL}@1", "done", ""),
        ("version.gate", f"{MODEL}@1", "done", ""),
        ("endpoint.promote", MODEL, "done", ""),
        ("key.create", key.id, "done", ""),
        ("key.revoke", key.id, "done", ""),
        ("key.revoke", "nobody", "refused", "registry.not-found"),
    ]
    first, *rest = (read_line(data) for _, data in read_lines(store.home / "audit"))
    assert (first.who, first.user) == (process_owner().id, process_owner().user)
    assert {(line.who, line.key, line.source, line.request) for line in rest} == {
        ("a1B2", "a1B2", "10.0.0.1", "r1")
    }
    text = b"".join(path.read_bytes() for path in segments(store.home / "audit"))
    assert b"secret" not in text
    assert b"website" not in text
    assert key.digest.encode() not in text
    (head,) = store.registry.audit_heads()
    assert checked(store.home / "audit", head).problems == []


def test_no_port_changes_anything_untold(store: Store) -> None:
    """Whatever adds to the records of an audited store adds to its log."""
    records: MetadataStore = store.registry._store
    contents = files("y")
    described = manifest(contents)
    content = canonical_json(described)
    version = store.publish("x")
    _, key = issue(scopes=[Scope.VIEW], now=store.now, random=os.urandom)
    change = EndpointChange(
        endpoint="e", model=MODEL, sequence=1, action="promote", before=None, live=1,
        at=store.now, by="anna", reason="", evidence=None,
    )  # fmt: skip
    image = records.versions.images()[0]
    changes: list[Callable[[], object]] = [
        lambda: records.versions.append(
            described,
            content=content,
            digest=digest_of(content),
            image=image,
            by="a",
            now=store.now,
        ),
        lambda: records.evidence.append(
            model=MODEL, number=version.number, kind="gate", verdict="fail", body={}, now=store.now
        ),
        lambda: records.endpoints.append(change),
        lambda: records.keys.append(key),
        lambda: records.keys.revoke(key.id, store.now),
        lambda: records.deletions.delete(
            VersionChange(
                model=MODEL, number=2, sequence=0, action="delete", at=store.now, by="a", reason=""
            )
        ),
    ]
    for change_it in changes:
        before = len(told(store))
        change_it()
        assert len(told(store)) == before + 1
    logs = (records.versions, records.deletions, records.evidence, records.endpoints, records.keys)
    public = {name for log in logs for name in dir(log) if not name.startswith("_")}
    assert public == {"append", "get", "list", "models", "images", "last", "history", "names",
                      "revoke", "delete", "summaries", "verdicts"}  # fmt: skip


def test_tampering(tmp_path: Path) -> None:
    """Of 10,000 lines each one that is altered, removed, moved or cut off is found and named."""
    log = Log(tmp_path / "audit")
    log.trail.record(Entry(what="test", object="first"))
    with_lines(log, 10_000)
    assert log.check().problems == []
    path, whole = segments(log.folder)[0], segments(log.folder)[0].read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) >= 10_000
    dice = random.Random(7)
    (head,) = log.records.heads()
    for _ in range(4):
        place = dice.randrange(1, len(lines) - 2)
        altered = [*lines]
        altered[place] = altered[place].replace(b'"count":1', b'"count":2')
        path.write_bytes(b"".join(altered))
        found = log.check()
        assert codes(found) <= {"audit.altered", "audit.checkpoint"}
        assert [one.message for one in found.problems if one.code == "audit.altered"] == [
            f"line {place + 1} was altered"
        ]
        path.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
        found = log.check()
        assert [one.message for one in found.problems] == [f"line {place + 1} removed"]
        moved = [*lines]
        moved[place], moved[place + 1] = moved[place + 1], moved[place]
        path.write_bytes(b"".join(moved))
        assert "audit.reordered" in codes(log.check())
    for cut in (1, 2, 500):
        path.write_bytes(b"".join(lines[:-cut]))
        (problem,) = log.check().problems
        assert problem.message == (
            f"the log ends with line {head.seq - cut} and the records know of line {head.seq}"
        )
    for cut in (1, 500):
        path.write_bytes(b"".join(lines[cut:]))
        assert "audit.removed" in codes(log.check())
    altered = [*lines[:-1], lines[-1].replace(b'"count":1', b'"count":9')]
    path.write_bytes(b"".join(altered))
    assert codes(log.check()) == {"audit.altered"}
    path.write_bytes(whole + b"{}\n")
    assert codes(log.check()) == {"audit.unreadable"}


def with_lines(log: Log, count: int) -> None:
    """Bring the log to *count* lines, sparing 10,000 waits for the disk and the lock."""
    with mock.patch("os.fsync"), mock.patch("shipway.registry.trail.locked"):
        log.write(count)


def test_a_log_written_anew_is_found_out(tmp_path: Path) -> None:
    """Who makes every digest fit again lacks the key of the checkpoints."""
    log = Log(tmp_path / "audit")
    log.write(250)
    path = segments(log.folder)[0]
    prev, forged = "0" * 64, []
    for line in log.lines():
        data = line_bytes(msgspec.structs.replace(line, prev=prev, who="user:mallory"))
        prev = line_digest(data[:-1])
        forged.append(data)
    path.write_bytes(b"".join(forged))
    (head,) = log.records.heads()
    log.records.kept[head.chain] = Head(head.chain, head.seq, prev)
    found = log.check()
    assert codes(found) == {"audit.checkpoint"}
    assert len(found.problems) == 2


def test_another_key(tmp_path: Path) -> None:
    """A log whose key was replaced is found out before its first checkpoint."""
    log = Log(tmp_path / "audit")
    log.write(3)
    (log.folder / "key").write_bytes(b"k" * 32)
    assert codes(log.check()) == {"audit.signer"}


def test_torn_end(tmp_path: Path) -> None:
    """Half a line that a killed process left is cut off; the next line tells of it."""
    log = Log(tmp_path / "audit")
    log.write(3)
    path = segments(log.folder)[0]
    whole = path.read_bytes()
    for cut in (1, 50, len(whole.splitlines()[-1])):
        path.write_bytes(whole + whole.splitlines()[-1][:cut])
        fresh = Trail(log.folder, log.records, clock=log.clock)
        fresh.record(Entry(what="after"))
        assert [line.what for line in log.lines()][-2:] == ["audit.recover", "after"]
        assert log.check().problems == []
        whole = path.read_bytes()


@pytest.mark.parametrize("fresh_file", [False, True])
def test_torn_sectors(tmp_path: Path, fresh_file: bool) -> None:
    """Of what a power cut kept in part nothing is believed; what was acknowledged all is."""
    log = Log(tmp_path / "audit")
    log.write(3)
    path, head = segments(log.folder)[-1], dict(log.records.kept)
    whole = path.read_bytes()
    if fresh_file:
        log.clock.now += timedelta(days=8)
    log.write(4)
    last = segments(log.folder)[-1]
    assert (last != path) is fresh_file
    added = last.read_bytes()[0 if fresh_file else len(whole) :]
    before = b"" if fresh_file else whole
    for start in range(0, len(added), 97):
        gap = bytes(min(512, len(added) - start))
        last.write_bytes(before + added[:start] + gap + added[start + 512 :])
        log.records.kept.clear()
        log.records.kept.update(head)
        Trail(log.folder, log.records, clock=log.clock).flush()
        lines = log.lines()
        sound = whole.count(b"\n") + added[:start].count(b"\n")
        assert lines[sound].what == "audit.recover"
        assert {line.what for line in lines[sound + 1 :]} <= {CHECKPOINT}
        assert log.check().problems == []


def test_every_crash_of_the_first_line(tmp_path: Path) -> None:
    """Wherever the first write ended, the next process begins a log that holds."""
    log = Log(tmp_path / "audit")
    log.write(1)
    path, whole = segments(log.folder)[0], segments(log.folder)[0].read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        log.records.kept.clear()
        Trail(log.folder, log.records, clock=log.clock).record(Entry(what="after"))
        assert log.check().problems == []


def test_a_cut_tail_stays_found(tmp_path: Path) -> None:
    """Lines that are written after a tail was cut off do not hide it."""
    log = Log(tmp_path / "audit")
    log.write(5)
    path = segments(log.folder)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    Trail(log.folder, log.records, clock=log.clock).record(Entry(what="after"))
    assert [line.what for line in log.lines()][-2:] == ["audit.missing", "after"]
    (problem,) = log.check().problems
    assert (problem.code, problem.message) == ("audit.removed", "lines 5 to 6 removed")


def test_retention(tmp_path: Path) -> None:
    """What is old enough goes by whole files; a signed tombstone stands for it, and all holds."""
    log = Log(tmp_path / "audit")
    log.write(60, each=timedelta(days=5))
    assert len(segments(log.folder)) > 10
    last = log.clock.now
    gone = log.trail.expire(last - timedelta(days=183))
    assert gone > 20
    kept = log.lines()
    assert last - timedelta(days=183 + 14) < kept[0].time < last - timedelta(days=176)
    stone = read_tombstone(log.folder)
    assert stone is not None
    assert stone.seq + 1 == kept[0].seq
    assert stone.first == BEGAN + timedelta(days=5)
    assert kept[-1].what == "audit.expire" or kept[-2].what == "audit.expire"
    found = log.check()
    assert (found.problems, found.first) == ([], stone.seq + 1)
    assert log.trail.expire(last - timedelta(days=183)) == 0
    log.write(60, each=timedelta(days=5))
    assert log.trail.expire(log.clock.now - timedelta(days=183)) > 20
    assert log.check().problems == []


def test_a_forged_tombstone(tmp_path: Path) -> None:
    """A tombstone of somebody without the key hides nothing."""
    log = Log(tmp_path / "audit")
    log.write(60, each=timedelta(days=5))
    files_before = {path: path.read_bytes() for path in segments(log.folder)}
    log.trail.expire(log.clock.now - timedelta(days=183))
    path = log.folder / "tombstone.json"
    told_of = json.loads(path.read_bytes())
    for name in ("seq", "digest", "last", "signature"):
        other = {"seq": 3, "digest": "1" * 64, "last": "2020-01-01T00:00:00Z", "signature": "00"}
        path.write_text(json.dumps({**told_of, name: other[name]}))
        assert "audit.tombstone" in codes(log.check()), name
    path.write_text(json.dumps(told_of))
    for old, data in files_before.items():  # killed before they were removed
        old.write_bytes(data) if not old.exists() else None
    assert log.check().problems == []


def test_clean_text(tmp_path: Path) -> None:
    """Whatever stands in a name, each line of the file is one JSON object in printable ASCII."""
    log = Log(tmp_path / "audit")
    secret = "shipway_live_" + "A" * 12 + "_" + "B" * 43 + "_" + "C" * 6
    nasty = [
        "a\r\nHTTP/1.1 200", "\x1b[31mred", "\u2028\u2029\x85", "\ud800", "x" * 1_000_000, '"}\n{"',
        "\0", secret,
    ]  # fmt: skip
    for text in nasty:
        actor = Actor(id=text, source=text, request=text)
        entry = Entry(what=text, object=text, code=text, detail={text: text, "d": {"e": [text]}})
        log.trail.record(entry, actor)
    deep: dict[str, object] = {}
    for _ in range(500):
        deep = {"a": deep}
    log.trail.record(Entry(what="deep", detail=deep))
    wide = {str(n): {str(m): "y" * 200 for m in range(64)} for n in range(64)}
    log.trail.record(Entry(what="wide", detail={**wide, "inf": float("inf")}))
    data = b"".join(path.read_bytes() for path in segments(log.folder))
    assert all(byte == 10 or 32 <= byte < 127 for byte in data)
    assert secret.encode()[:40] not in data
    assert max(map(len, data.splitlines())) < 20_000
    assert len(data.splitlines()) == len(log.lines()) == len(nasty) + 3
    assert log.check().problems == []


def test_private_files(tmp_path: Path) -> None:
    """Only its owner reads the log and its key."""
    log = Log(tmp_path / "audit")
    log.write(1)
    assert stat.S_IMODE(log.folder.stat().st_mode) == 0o700
    for path in log.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def _write_some(home: str, count: int) -> None:
    store = Store(Path(home))
    for number in range(count):
        store.registry.trail.record(Entry(what="test", object=f"{os.getpid()}-{number}"))
    store.registry.close()


def test_many_processes(tmp_path: Path) -> None:
    """Processes that write at once make one chain, in which no line is lost."""
    Store(tmp_path).registry.close()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_some, args=(str(tmp_path), 40)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = Store(tmp_path)
    (head,) = store.registry.audit_heads()
    found = checked(tmp_path / "audit", head)
    assert found.problems == []
    assert len({line for line in told(store) if line[0] == "test"}) == 160
    assert found.checkpoints >= 1
    store.registry.close()


_KILLED = """
import sys
from pathlib import Path
from tests.stores import Store
from shipway.security.audit import Entry
store = Store(Path(sys.argv[1]))
for number in range(10_000):
    store.registry.trail.record(Entry(what="test", object=str(number)))
    print(number, flush=True)
"""


def test_kills(tmp_path: Path) -> None:
    """What was acknowledged before a kill is there, and the log holds and goes on."""
    acknowledged = 0
    for kill in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for number, _ in enumerate(child.stdout):
            if number == 5 + kill:
                child.kill()
        child.wait()
        acknowledged += 6 + kill
        child.stdout.close()
    store = Store(tmp_path)
    assert sum(line[0] == "test" for line in told(store)) >= acknowledged
    store.publish("a")
    (head,) = store.registry.audit_heads()
    assert checked(tmp_path / "audit", head).problems == []
    store.registry.close()


def test_what_cannot_be_told_now_is_told_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that meets a full disk at its line stands, and is told with the next one."""
    store.publish("a")
    path = segments(store.home / "audit")[0]
    before = path.read_bytes()
    written = os.pwrite

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if offset > len(before):
            raise OSError(28, "No space left on device")
        return written(descriptor, data[:10], offset)

    _, key = issue(scopes=[Scope.VIEW], now=store.now, random=os.urandom)
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        store.registry.add_key(key)
        with pytest.raises(StoreError, match="full"):
            store.registry.trail.record(Entry(what="test"))
    assert path.read_bytes() == before
    store.registry.revoke_key(key.id, now=store.now)
    assert [line[0] for line in told(store)][-2:] == ["key.create", "key.revoke"]
    (head,) = store.registry.audit_heads()
    assert checked(store.home / "audit", head).problems == []


def test_a_change_is_noted_with_itself(store: Store) -> None:
    """A process killed between a change and its line leaves it to be told by the next one."""
    store.publish("a")
    records = store.registry._store._store  # type: ignore[attr-defined]
    _, key = issue(scopes=[Scope.VIEW], now=store.now, random=os.urandom)
    with acting(Actor(id="a1B2")):
        records.keys.append(key)
    assert told(store)[-1][0] == "version.publish"
    store.reopen()
    store.registry.trail.flush()
    assert told(store)[-1][:2] == ("key.create", key.id)
    _, data = list(read_lines(store.home / "audit"))[-1]
    assert read_line(data).who == "a1B2"


def test_an_altered_end_does_not_stop_the_log(tmp_path: Path) -> None:
    """A last line that was made unreadable is told by the check; changes are told all the same."""
    log = Log(tmp_path / "audit")
    log.write(3)
    path = segments(log.folder)[0]
    path.write_bytes(path.read_bytes().replace(b'"object":"2"', b'"object":2.5'))
    Trail(log.folder, log.records, clock=log.clock).record(Entry(what="after"))
    assert codes(log.check()) >= {"audit.unreadable"}
