"""What every place to keep records keeps to."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.exc import DBAPIError
from tests.databases import Postgres
from tests.stores import files, manifest

from shipway.domain.digests import canonical_json, digest_of
from shipway.errors import StoreError
from shipway.registry.oci import IMAGE_TYPE, Descriptor, image_bytes, image_descriptor
from shipway.registry.ports import BlobsWereUnneeded, MetadataStore
from shipway.registry.records import (
    EndpointChange,
    SignatureRecord,
    Version,
    VersionChange,
    summary_of,
)
from shipway.registry.sql.database import Database
from shipway.registry.sql.migrate import migrate
from shipway.registry.sql.postgres import PostgresDatabase
from shipway.registry.sql.revision import raise_revision
from shipway.registry.sql.sqlite import SqliteDatabase
from shipway.registry.sql.store import SqlMetadata
from shipway.security.audit import Head, Noted
from shipway.security.keys import issue
from shipway.security.statements import BUNDLE_TYPE

NOW = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)


def sqlite(request: pytest.FixtureRequest) -> Database:
    """A database in a file."""
    folder: Path = request.getfixturevalue("tmp_path")
    return SqliteDatabase(folder / "metadata.sqlite3")


def postgresql(request: pytest.FixtureRequest) -> Database:
    """A database of a server."""
    cluster: Postgres = request.getfixturevalue("postgres")
    return PostgresDatabase(cluster.fresh())


@pytest.fixture(params=[sqlite, pytest.param(postgresql, marks=pytest.mark.needs("postgres"))])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of each implementation, its tables made."""
    made: Database = request.param(request)
    migrate(made, where="a test")
    yield made
    made.close()


@pytest.fixture
def store(database: Database) -> MetadataStore:
    """An empty store in it."""
    return SqlMetadata(database)


def append(store: MetadataStore, seed: str, *, model: str = "fraud", by: str = "anna") -> Version:
    described = manifest(files(seed), model=model)
    content = canonical_json(described)
    image = image_descriptor(image_bytes(described, content))
    return store.versions.append(
        described, content=content, digest=digest_of(content), image=image, by=by, now=NOW
    )


def deletion(number: int, sequence: int = 0) -> VersionChange:
    return VersionChange(
        model="fraud",
        number=number,
        sequence=sequence,
        action="delete",
        at=NOW,
        by="anna",
        reason="",
    )


def change(sequence: int, *, live: int = 1, endpoint: str = "live") -> EndpointChange:
    return EndpointChange(
        endpoint=endpoint,
        model="fraud",
        sequence=sequence,
        action="promote",
        before=None,
        live=live,
        at=NOW,
        by="anna",
        reason="it's 'better'; --",
        evidence=None,
    )


def signature(number: int) -> SignatureRecord:
    return SignatureRecord(
        model="fraud",
        number=number,
        identity="key:'; --",
        public_key="PEM",
        digest=f"sha256:{'2' * 64}",
        size_bytes=900,
        created_at=NOW,
        created_by="anna",
    )


class TestMetadataStore:
    """The ports' promises, one a test."""

    def test_versions(self, store: MetadataStore) -> None:
        """Versions are numbered within their model, listed in order and read back equal."""
        made = [append(store, seed) for seed in "abc"]
        append(store, "a", model="another")
        assert [version.number for version in made] == [1, 2, 3]
        assert store.versions.list("fraud") == tuple(made)
        assert store.versions.get("fraud", 2) == made[1]
        assert store.versions.models() == {"another": 1, "fraud": 3}

    def test_summaries(self, store: MetadataStore) -> None:
        """A list shows what the manifests say, and nothing of a deleted version."""
        made = [append(store, seed) for seed in "abc"]
        append(store, "a", model="another")
        assert store.deletions.delete(deletion(2)) is not None
        assert store.versions.summaries("fraud") == (summary_of(made[0]), summary_of(made[2]))
        assert summary_of(made[0]).size_bytes == sum(map(len, files("a").values()))
        append(store, "b", by="ben")
        assert [each.number for each in store.versions.summaries("fraud")] == [1, 2, 3]
        assert store.versions.summaries("none") == ()

    def test_edition(self, store: MetadataStore) -> None:
        """Whatever changes what an index lists makes another edition, and nothing else does."""
        seen = [store.edition()]
        append(store, "a")
        seen.append(store.edition())
        append(store, "b")
        seen.append(store.edition())
        store.deletions.delete(deletion(2))
        seen.append(store.edition())
        append(store, "b")
        seen.append(store.edition())
        store.signatures.append(signature(1), image=image_descriptor(b"{}"))
        seen.append(store.edition())
        assert len(set(seen)) == len(seen)
        append(store, "a")
        store.endpoints.append(change(1))
        assert store.edition() == seen[-1]

    def test_newest_verdicts(self, store: MetadataStore) -> None:
        """Of each version the newest verdict of one kind is told, in one question."""
        for seed in "abc":
            append(store, seed)
        for number, kind, verdict in (
            (1, "gate", "fail"),
            (1, "gate", "pass"),
            (2, "canary", "pass"),
            (3, "gate", "undecided"),
        ):
            store.evidence.append(
                model="fraud", number=number, kind=kind, verdict=verdict, body={}, now=NOW
            )
        assert store.evidence.verdicts("fraud", "gate") == {1: "pass", 3: "undecided"}
        assert store.evidence.verdicts("another", "gate") == {}

    def test_absent(self, store: MetadataStore) -> None:
        """What there is not is None or empty, never an error."""
        assert store.versions.get("fraud", 1) is None
        assert store.versions.list("fraud") == ()
        assert store.versions.models() == {}
        assert store.versions.images() == ()
        assert store.signatures.list("fraud", 1) == ()
        assert store.signatures.images() == ()
        assert store.evidence.get(1) is None
        assert store.evidence.list("fraud", 1) == ()
        assert store.endpoints.last("live") is None
        assert store.endpoints.history("live") == ()
        assert store.endpoints.names() == ()
        assert store.keys.list() == ()
        assert store.keys.revoke("x", NOW) is None
        assert store.revision() == 0

    def test_audit(self, store: MetadataStore) -> None:
        """Each change is noted with itself until it is settled; a settling that fails forgets
        nothing, and the end of each log is kept by its name.
        """
        seen: list[list[str]] = []

        def write(head: Head | None, noted: Sequence[Noted]) -> Head | None:
            seen.append([f"{one.entry.what} {one.entry.object}" for one in noted])
            return Head("a", 1 if head is None else head.seq + 1, "x") if noted else None

        def fail(head: Head | None, noted: Sequence[Noted]) -> Head | None:
            raise InterruptedError

        store.audit.settle("a", write)
        assert (seen, store.audit.heads()) == ([[]], ())
        append(store, "a")
        assert store.endpoints.append(change(1))
        assert not store.endpoints.append(change(1))
        with pytest.raises(InterruptedError):
            store.audit.settle("a", fail)
        store.audit.settle("a", write)
        store.audit.settle("a", write)
        assert seen[1:] == [["version.publish fraud@1", "endpoint.promote live"], []]
        assert store.keys.revoke("nobody", NOW) is None
        _, key = issue(scopes=["view"], now=NOW, random=secrets.token_bytes)
        store.keys.append(key)
        store.keys.revoke(key.id, NOW)
        store.keys.revoke(key.id, NOW)
        store.audit.settle("a", write)
        assert seen[3:] == [[f"key.create {key.id}", f"key.revoke {key.id}"]]
        store.audit.settle("0", lambda head, noted: Head("0", 7, "y"))
        assert store.audit.heads() == (Head("0", 7, "y"), Head("a", 2, "x"))

    def test_same_digest(self, store: MetadataStore) -> None:
        """A digest that is there already is the version that it was, by whom it was."""
        first = append(store, "a", by="anna")
        append(store, "b")
        assert append(store, "a", by="ben") == first

    def test_signatures(self, store: MetadataStore) -> None:
        """Signatures are listed by version, oldest first; the same one again stays as it was."""
        append(store, "a")
        append(store, "b")
        image = Descriptor(media_type=IMAGE_TYPE, digest=f"sha256:{'1' * 64}", size=7)
        first = signature(1)
        assert store.signatures.append(first, image=image) == first
        again = msgspec.structs.replace(first, created_by="ben")
        assert store.signatures.append(again, image=image) == first
        later = msgspec.structs.replace(
            first, digest=f"sha256:{'3' * 64}", created_at=NOW + timedelta(seconds=1)
        )
        store.signatures.append(later, image=image)
        store.signatures.append(signature(2), image=image)
        assert store.signatures.list("fraud", 1) == (first, later)
        assert store.signatures.list("fraud", 2) == (signature(2),)
        assert {one.digest for one in store.signatures.images()} == {image.digest}
        assert len(store.signatures.images()) == 3
        assert {one.artifact_type for one in store.signatures.images()} == {BUNDLE_TYPE}

    def test_numbers_at_once(self, store: MetadataStore) -> None:
        """Threads that append at once, some of them the same, get each number once, gap-free."""
        seeds = [f"{index % 12}" for index in range(24)]
        threads = [threading.Thread(target=append, args=(store, seed)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [version.number for version in store.versions.list("fraud")] == list(range(1, 13))

    def test_names_are_sorted_by_their_characters(self, store: MetadataStore) -> None:
        """What is listed by name is in the order of its characters, whatever the language."""
        names = ["ab", "a-c", "a_b", "a.d", "a0"]
        for name in names:
            append(store, "a", model=name)
            described = msgspec.structs.replace(change(1, endpoint=name), model=name)
            assert store.endpoints.append(described)
        assert list(store.versions.models()) == sorted(names)
        assert list(store.endpoints.names()) == sorted(names)

    @pytest.mark.parametrize(
        "table", ["versions", "endpoint_changes", "evidence", "version_changes"]
    )
    @pytest.mark.parametrize("how", ["UPDATE {} SET model = 'x'", "DELETE FROM {}"])
    def test_history_cannot_be_changed(
        self, store: MetadataStore, database: Database, table: str, how: str
    ) -> None:
        """The database itself refuses to change or remove what is history, whoever asks it to."""
        append(store, "a")
        store.endpoints.append(change(1))
        store.evidence.append(
            model="fraud", number=1, kind="gate", verdict="pass", body={}, now=NOW
        )
        append(store, "b")
        assert store.deletions.delete(deletion(2))
        with (
            pytest.raises((StoreError, DBAPIError), match="append-only"),
            database.writing() as connection,
        ):
            connection.exec_driver_sql(how.format(table))

    def test_a_failed_write_leaves_nothing(self, store: MetadataStore, database: Database) -> None:
        """What a transaction wrote before it failed is gone, and the next writer gets its turn."""

        def fail() -> None:
            with database.writing() as connection:
                raise_revision(connection)
                raise InterruptedError

        with pytest.raises(InterruptedError):
            fail()
        assert store.revision() == 0
        append(store, "a")

    def test_a_reader_sees_one_state(self, store: MetadataStore, database: Database) -> None:
        """Within one reading nothing changes, and it holds up no writer."""
        count = "SELECT count(*) FROM versions"
        with database.reading() as connection:
            before = connection.exec_driver_sql(count).scalar_one()
            append(store, "a")
            assert connection.exec_driver_sql(count).scalar_one() == before
        assert store.versions.models() == {"fraud": 1}

    def test_images(self, store: MetadataStore) -> None:
        """The images are listed by model and number with a name to find them by."""
        append(store, "a", model="zebra")
        append(store, "b")
        names = [
            image.annotations["org.opencontainers.image.ref.name"]
            for image in store.versions.images()
        ]
        assert names == ["fraud-1", "zebra-1"]

    def test_text(self, store: MetadataStore) -> None:
        """Text of every script, quotes and emptiness come back as they were."""
        for index, text in enumerate(["Ω≈ç√ 🛫 'quoted' \"and\" --", "", "a\nb\t\\"]):
            described = msgspec.structs.replace(manifest(files(f"{index}")), notes=(text,))
            content = canonical_json(described)
            image = image_descriptor(image_bytes(described, content))
            version = store.versions.append(
                described, content=content, digest=digest_of(content), image=image, by=text, now=NOW
            )
            assert store.versions.get("flight-delay", version.number) == version
            assert (version.manifest.notes, version.created_by) == ((text,), text)

    def test_time(self, store: MetadataStore) -> None:
        """A time given in another zone is the same moment in UTC, to the microsecond."""
        local = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
        append(store, "a")
        record = store.evidence.append(
            model="fraud", number=1, kind="gate", verdict="pass", body={}, now=local
        )
        assert record.created_at == NOW
        assert record.created_at.utcoffset() == timedelta(0)

    def test_evidence(self, store: MetadataStore) -> None:
        """Evidence has growing ids and is found by id and by version."""
        append(store, "a")
        append(store, "b")
        body: dict[str, object] = {"text": "é", "list": [1, 2.5, None, {"deep": True}]}
        records = [
            store.evidence.append(
                model="fraud", number=number, kind="gate", verdict="fail", body=body, now=NOW
            )
            for number in (1, 2, 1)
        ]
        assert records[0].id < records[1].id < records[2].id
        assert store.evidence.get(records[1].id) == records[1]
        assert store.evidence.list("fraud", 1) == (records[0], records[2])
        assert records[0].body == body

    def test_sequence(self, store: MetadataStore) -> None:
        """A change is added if its sequence is the next, and otherwise changes nothing."""
        append(store, "a")
        append(store, "b")
        assert not store.endpoints.append(change(2))
        assert store.endpoints.append(change(1))
        assert not store.endpoints.append(change(1))
        assert not store.endpoints.append(change(3))
        assert store.endpoints.append(change(2, live=2))
        assert store.endpoints.append(change(1, endpoint="other"))
        assert store.endpoints.history("live") == (change(1), change(2, live=2))
        assert store.endpoints.last("live") == change(2, live=2)
        assert store.endpoints.names() == ("live", "other")
        assert store.revision() == 3

    def test_one_winner(self, store: MetadataStore) -> None:
        """Of equal changes made at once exactly one is added."""
        append(store, "a")
        won: list[bool] = []

        def attempt() -> None:
            won.append(store.endpoints.append(change(1)))

        threads = [threading.Thread(target=attempt) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False] * 11 + [True]

    def test_deletions(self, store: MetadataStore) -> None:
        """A deleted version is left out of every answer, cannot go live, and keeps its number."""
        first = append(store, "a")
        append(store, "b")
        assert store.deletions.delete(deletion(1)) == deletion(1, sequence=1)
        assert not store.deletions.delete(deletion(1))
        assert not store.deletions.delete(deletion(9))
        assert store.versions.get("fraud", 1) is None
        assert [version.number for version in store.versions.list("fraud")] == [2]
        assert len(store.versions.images()) == 1
        assert not store.endpoints.append(change(1, live=1))
        assert append(store, "c").number == 3
        assert append(store, "a", by="ben") == first
        told = [(each.sequence, each.action, each.by) for each in store.deletions.list("fraud")]
        assert told == [(1, "delete", "anna"), (2, "restore", "ben")]
        assert store.endpoints.append(change(1, live=1))
        assert not store.deletions.delete(deletion(1))

    def test_one_of_both(self, store: MetadataStore) -> None:
        """Of deleting a version and making it live, done at once, exactly one succeeds."""
        for number in range(1, 9):
            append(store, f"{number}")
            done: list[bool] = []
            start = threading.Barrier(2)

            def delete(number: int, start: threading.Barrier, done: list[bool]) -> None:
                start.wait()
                done.append(store.deletions.delete(deletion(number)) is not None)

            def move(number: int, start: threading.Barrier, done: list[bool]) -> None:
                start.wait()
                done.append(store.endpoints.append(change(1, live=number, endpoint=f"e{number}")))

            threads = [
                threading.Thread(target=each, args=(number, start, done)) for each in (delete, move)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(done) == [False, True]

    def test_ledger(self, store: MetadataStore) -> None:
        """Only what no record mentions is noted, keeps its time, and is swept while noted."""
        version = append(store, "a")
        orphan = digest_of(b"orphan")
        later = NOW + timedelta(days=1)
        assert store.ledger.note([version.digest, orphan], later, dry_run=True) == {orphan: later}
        assert store.ledger.note([version.digest, orphan], NOW) == {orphan: NOW}
        assert store.ledger.note([version.digest, orphan], later, dry_run=True) == {orphan: NOW}
        assert store.ledger.note([orphan], later) == {orphan: NOW}
        swept: list[str] = []
        store.ledger.sweep([version.digest, orphan], swept.append)
        assert swept == [orphan]

    def test_appending_takes_off_the_list(self, store: MetadataStore) -> None:
        """A version one of whose blobs is noted is not appended before it is put again."""
        digest = digest_of(files("b")["model.onnx"])
        store.ledger.note([digest], NOW)
        with pytest.raises(BlobsWereUnneeded):
            append(store, "b")
        assert store.versions.models() == {}
        assert append(store, "b").number == 1
        assert store.ledger.note([digest], NOW) == {}

    def test_dump(self, store: MetadataStore) -> None:
        """A dump names its schema first and has a line for each record."""
        append(store, "a")
        store.endpoints.append(change(1))
        lines = [msgspec.json.decode(line) for line in store.dump()]
        assert set(lines[0]) == {"schema"}
        tables = [line[0] for line in lines[1:]]
        assert {"versions", "endpoint_changes", "meta"} <= set(tables)

    def test_keys(self, store: MetadataStore) -> None:
        """Keys are listed by age, read back equal, and revoked once."""
        moments = (NOW + timedelta(seconds=2), NOW + timedelta(seconds=1))
        records = [
            issue(scopes=["view", "label"], now=moment, random=secrets.token_bytes)[1]
            for moment in moments
        ]
        for record in records:
            store.keys.append(record)
        assert store.keys.list() == (records[1], records[0])
        revoked = store.keys.revoke(records[0].id, NOW)
        assert revoked == msgspec.structs.replace(records[0], revoked_at=NOW)
        assert store.keys.revoke(records[0].id, NOW + timedelta(1)) == revoked
        assert store.keys.list() == (records[1], revoked)
        assert store.revision() == 3
