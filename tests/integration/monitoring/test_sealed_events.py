"""Events and labels that only who holds a key can read: written, read, compacted, rotated."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from tests.events import NS, event
from tests.identities import Reader, keyring

from shipway.domain.events import Label
from shipway.errors import KeyNotHeld, SealBroken, StoreError
from shipway.monitoring.finding_one import find_request
from shipway.monitoring.framing import frame, scan
from shipway.monitoring.journal import Journal, journal_opener, journals, read_events, read_journal
from shipway.monitoring.labels import LabelLog, LabelReader, label_files
from shipway.monitoring.reader import EventReader
from shipway.monitoring.rewrapping import event_seals, rewrap_events
from shipway.monitoring.sealed import MARK
from shipway.monitoring.segments import compact, segments
from shipway.security.sealing import Keyring, Sealer

ANNA, BEN = Reader(), Reader()
RING = keyring(ANNA)
SECRET = "4111-secret-customer"


def write(folder: Path, *ids: str, ring: Keyring = RING, worker: str = "w0") -> Path:
    """A finished journal with one append an id; each event holds the secret."""
    with Journal(folder, worker, sealer=ring.sealer()) as journal:
        for one in ids:
            journal.append([event(one, columns={"x": [SECRET]})])
        return journal._path


def ids(folder: Path, ring: Keyring = RING) -> list[str]:
    """The requests in the journals of *folder*."""
    return [one.request_id for one in read_events(folder, keyring=ring)]


def label(one: str, value: int = 1, at_s: int = 1_364_774_400) -> Label:
    return Label(prediction_id=one, value=value, observed_at_ns=at_s * NS)


def hidden(folder: Path, *secrets: str) -> bool:
    """Whether no file below *folder* has any of *secrets* in it."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert contents
    return not [one for one in contents for secret in secrets if secret.encode() in one]


def reframed(path: Path, change: Callable[[list[bytes]], Sequence[bytes]]) -> None:
    """Put in the place of a file's frames what *change* makes of their payloads."""
    path.write_bytes(b"".join(map(frame, change(list(scan(path.read_bytes()).payloads)))))


def test_a_journal_is_read_by_who_holds_a_key(tmp_path: Path) -> None:
    """Nothing of an event shows in the file; with the key they are what was appended."""
    write(tmp_path, "a", "b", "c")
    assert hidden(tmp_path, SECRET)
    assert ids(tmp_path) == ["a", "b", "c"]
    assert next(iter(read_events(tmp_path, keyring=RING))).columns == {"x": [SECRET]}
    for ring in (Keyring(), keyring(BEN)):
        with pytest.raises(KeyNotHeld, match="journals"):
            ids(tmp_path, ring)


def test_a_plain_journal_asks_for_no_key(tmp_path: Path) -> None:
    """What was written before anybody was named is read as ever, beside what is encrypted."""
    write(tmp_path, "a", ring=Keyring())
    write(tmp_path, "b")
    assert ids(tmp_path) == ["a", "b"]


def test_an_empty_journal_leaves_nothing(tmp_path: Path) -> None:
    """A worker that answered nobody leaves no file with a key alone."""
    write(tmp_path)
    assert journals(tmp_path) == {}


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda p: [p[0], p[1][:-1] + bytes([p[1][-1] ^ 1]), p[2], p[3]], ["b", "c"]),
        (lambda p: [p[0], bytes([p[1][0] ^ 1]) + p[1][1:], p[2], p[3]], ["b", "c"]),
        (lambda p: [p[0], b"short", p[2], p[3]], ["b", "c"]),
        (lambda p: [p[0], p[2], p[1], p[3]], ["c"]),
        (lambda p: [p[0], p[1], p[1], p[3]], ["a", "c"]),
        (lambda p: [p[0], p[1], p[3]], ["a"]),
    ],
    ids=["altered", "another nonce", "cut", "exchanged", "repeated", "left out"],
)
def test_what_was_done_to_a_frame_is_seen(
    change: Callable[[list[bytes]], list[bytes]], left: list[str], tmp_path: Path
) -> None:
    """A frame that was altered or moved counts as damaged, checksums or not; others are read."""
    path = write(tmp_path, "a", "b", "c")
    reframed(path, change)
    found = read_journal(path, opener=journal_opener(RING))
    assert [one.request_id for one in found.events] == left
    assert found.damaged > 0


def test_frames_of_another_file_are_seen(tmp_path: Path) -> None:
    """A whole file under another's name, or with another's key, is refused."""
    one, other = write(tmp_path, "a"), write(tmp_path, "b")
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(SealBroken, match="is that of"):
        ids(tmp_path)
    one.write_bytes(kept)
    (mine, _), (_, theirs) = (scan(path.read_bytes()).payloads for path in (one, other))
    one.write_bytes(frame(mine) + frame(theirs))
    found = read_journal(one, opener=journal_opener(RING))
    assert (found.events, found.damaged) == ([], 1)


def test_an_altered_key_is_refused(tmp_path: Path) -> None:
    """A key frame that was altered gives nothing, and says why."""
    path = write(tmp_path, "a")
    reframed(path, lambda p: [p[0].replace(b'"key":"YWdl', b'"key":"XWdl'), *p[1:]])
    with pytest.raises(SealBroken, match="wrapped key"):
        ids(tmp_path)


def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    """What is appended between two looks is read once, also from the middle without memory."""
    reader = EventReader(tmp_path, keyring=RING)
    with Journal(tmp_path, "w0", sealer=RING.sealer()) as journal:
        journal.append([event("a")])
        assert reader.refresh()["request_id"].to_list() == ["a"]
        journal.append([event("b")])
        assert reader.refresh()["request_id"].to_list() == ["a", "b"]
        (path,) = journals(tmp_path).values()
        middle = read_journal(path, opener=journal_opener(RING)).end
        journal.append([event("c")])
        rest = read_journal(path, middle, opener=journal_opener(RING))
        assert [one.request_id for one in rest.events] == ["c"]
    compact(tmp_path, keyring=RING)
    assert reader.refresh()["request_id"].to_list() == ["a", "b", "c"]
    assert EventReader(tmp_path, keyring=RING).refresh().height == 3


def test_a_segment_is_encrypted(tmp_path: Path) -> None:
    """Compaction makes an encrypted segment; cut or altered anywhere it gives nothing."""
    write(tmp_path, "a", "b")
    assert compact(tmp_path, keyring=RING).segments == 1
    assert journals(tmp_path) == {}
    assert hidden(tmp_path, SECRET, "PAR1")
    (segment,) = segments(tmp_path).values()
    assert EventReader(tmp_path, keyring=RING).refresh()["input.x"].to_list() == [SECRET] * 2
    with pytest.raises(KeyNotHeld):
        EventReader(tmp_path).refresh()
    whole = segment.path.read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2, 4096, 0):
        segment.path.write_bytes(whole[:cut])
        with pytest.raises(StoreError, match="altered or cut short"):
            EventReader(tmp_path, keyring=RING).refresh()
    segment.path.write_bytes(whole)
    reframed(segment.path, lambda p: [p[0], p[1][:-1] + bytes([p[1][-1] ^ 1])])
    with pytest.raises(StoreError, match="altered or cut short"):
        find_request(tmp_path, "a", RING)


def test_compaction_without_a_key_leaves_the_journal(tmp_path: Path) -> None:
    """Who cannot open a journal cannot compact it, and takes nothing away."""
    write(tmp_path, "a")
    with pytest.raises(KeyNotHeld):
        compact(tmp_path)
    assert ids(tmp_path) == ["a"]


def test_what_answered_is_found(tmp_path: Path) -> None:
    """One request is found in an encrypted journal and in its segment."""
    write(tmp_path, "a", "b")
    for _ in range(2):
        found = find_request(tmp_path, "b", RING)
        assert found is not None
        assert found.request_id == "b"
        compact(tmp_path, keyring=RING)
    assert segments(tmp_path)


@pytest.mark.parametrize("written", [0, 5])
def test_a_full_disk_breaks_no_later_event(
    written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append that failed, part of it written, is lost; those after it are read."""
    real = os.writev
    full = [True]

    def writev(descriptor: int, parts: Sequence[bytes]) -> int:
        if full.pop() if full else False:
            if written:
                os.write(descriptor, b"".join(parts)[:written])
            raise OSError(errno.ENOSPC, "full")
        return real(descriptor, parts)

    with Journal(tmp_path, "w0", sealer=RING.sealer()) as journal:
        journal.append([event("a")])
        full[:] = [True]
        monkeypatch.setattr(os, "writev", writev)
        journal.append([event("lost")])
        journal.append([event("b")])
        assert journal.status.lost_events == 1
    assert ids(tmp_path) == ["a", "b"]


def test_labels_of_several_processes(tmp_path: Path) -> None:
    """Each writes under its own key, whoever was last; a reader has all, and nobody else any."""
    first, second = (LabelLog(tmp_path, sealer=RING.sealer()) for _ in range(2))
    plain = LabelLog(tmp_path)
    reader = LabelReader(tmp_path, RING)
    plain.append([label("before")])
    known = ["before"]
    for at, log in enumerate([first, first, second, first, second, second, first]):
        log.append([label(f"secret-{at}", at)])
        known.append(f"secret-{at}")
        assert sorted(reader.refresh()["prediction_id"]) == sorted(known)
    assert sorted(LabelReader(tmp_path, RING).refresh()["prediction_id"]) == sorted(known)
    assert reader.damaged == 0
    assert hidden(tmp_path, "secret-")
    with pytest.raises(KeyNotHeld, match="labels"):
        LabelReader(tmp_path).refresh()


def test_a_torn_label_is_cut_and_written_over(tmp_path: Path) -> None:
    """After a tear, the next append begins at the last whole frame with a key of its own."""
    log = LabelLog(tmp_path, sealer=RING.sealer())
    log.append([label("a")])
    log.append([label("b")])
    (path,) = label_files(tmp_path)
    os.truncate(path, path.stat().st_size - 3)
    log.append([label("c")])
    assert sorted(LabelReader(tmp_path, RING).refresh()["prediction_id"]) == ["a", "c"]


def test_labels_fill_files(tmp_path: Path) -> None:
    """Each file of the log has its own key."""
    log = LabelLog(tmp_path, max_bytes=6_000, sealer=RING.sealer())
    for at in range(100):
        log.append([label(f"p{at}", at)])
    assert len(label_files(tmp_path)) > 1
    assert LabelReader(tmp_path, RING).refresh().height == 100


def test_rotation(tmp_path: Path) -> None:
    """Wrapped anew, everything opens for the new reader alone; an open journal waits."""
    events = tmp_path / "events"
    write(events, "a")
    compact(events, keyring=RING)
    write(events, "b", "c")
    write(events, "plain", ring=Keyring())
    logs = [LabelLog(tmp_path / "labels", sealer=RING.sealer()) for _ in range(2)]
    for at in range(4):
        logs[at % 2].append([label(f"p{at}", at)])
    early = EventReader(events, keyring=RING)
    early.refresh()
    both, opener = keyring(ANNA, BEN, to=(BEN,)), keyring(ANNA).opener()
    sealer = Sealer((BEN.public,))
    before = event_seals(tmp_path)
    assert (before.plain, before.sealed, before.files_for) == (1, 3, {ANNA.public: 3})
    with Journal(events, "w1", sealer=RING.sealer()) as growing:
        growing.append([event("d")])
        tried = rewrap_events(tmp_path, sealer, opener, dry_run=True)
        done = rewrap_events(tmp_path, sealer, opener)
        assert (tried.rewrapped, done.rewrapped, done.unchanged, done.open) == (4, 3, 1, 1)
        growing.append([event("e")])
    again = rewrap_events(tmp_path, sealer, opener)
    assert (again.rewrapped, again.unchanged) == (1, 4)
    assert event_seals(tmp_path).files_for == {BEN.public: 4}
    for ring in (keyring(BEN), both):
        found = EventReader(events, keyring=ring).refresh()["request_id"].to_list()
        assert sorted(found) == ["a", "b", "c", "d", "e", "plain"]
        assert LabelReader(tmp_path / "labels", ring).refresh().height == 4
    with pytest.raises(KeyNotHeld):
        EventReader(events, keyring=RING).refresh()
    with pytest.raises(KeyNotHeld):
        LabelReader(tmp_path / "labels", RING).refresh()
    logs[0].append([label("after")])
    assert LabelReader(tmp_path / "labels", keyring(ANNA, BEN)).refresh().height == 5


def test_who_cannot_open_cannot_rotate(tmp_path: Path) -> None:
    """Without the old key nothing is changed."""
    path = write(tmp_path / "events", "a")
    before = path.read_bytes()
    with pytest.raises(KeyNotHeld):
        rewrap_events(tmp_path, Sealer((BEN.public,)), keyring(BEN).opener())
    assert path.read_bytes() == before
    assert ids(tmp_path / "events") == ["a"]


def test_key_frames_are_filled_up(tmp_path: Path) -> None:
    """A key frame is as long for one reader as for five, so that a rotation moves nothing."""
    readers = tuple(Reader() for _ in range(5))
    sizes = set()
    for number in (1, 5):
        path = write(tmp_path / str(number), "a", ring=keyring(*readers[:number]))
        first = scan(path.read_bytes()).payloads[0]
        assert first.startswith(MARK)
        sizes.add(len(first))
    assert sizes == {4096 - 12}


def test_times_are_read_from_encrypted_segments_alone(tmp_path: Path) -> None:
    """A segment outside of the time asked for is not opened, and so needs no key."""
    write(tmp_path, "a")
    compact(tmp_path, keyring=RING)
    (segment,) = segments(tmp_path).values()
    later = segment.last + timedelta(days=1)
    assert EventReader(tmp_path, since=later).refresh().height == 0
