"""What every place for artefacts keeps to: a folder, and a real registry over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests import oci_registries

from shipway.domain.digests import canonical_json, digest_of
from shipway.errors import DigestMismatch, NotFoundError
from shipway.exchange import remote
from shipway.exchange.attachments import Attachment, attach, attached
from shipway.exchange.layout import LayoutFolder
from shipway.exchange.modelpack import ARTIFACT_TYPE, Artifact
from shipway.exchange.references import target
from shipway.exchange.remote import RemoteRepository
from shipway.exchange.repository import Repository
from shipway.exchange.session import Session
from shipway.registry.oci import Descriptor

Make = Callable[[Path], Iterator[Repository]]
LARGE = bytes(range(256)) * 4096 * 3


def in_folder(folder: Path) -> Iterator[Repository]:
    """A layout in a folder."""
    layout = LayoutFolder(folder / "layout")
    layout.begin()
    yield layout


def in_registry(folder: Path) -> Iterator[Repository]:
    """A repository in a registry of its own."""
    with oci_registries.running(folder) as address:
        reference = target(f"{address}/models/flight-delay:1")
        with Session(reference) as session:
            yield RemoteRepository(reference, session)


IMPLEMENTATIONS = [
    pytest.param(in_folder, id="layout"),
    pytest.param(in_registry, id="registry", marks=pytest.mark.needs(oci_registries.PROGRAM)),
]


@pytest.fixture(params=IMPLEMENTATIONS)
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Repository]:
    """An empty repository of each implementation."""
    make: Make = request.param
    yield from make(tmp_path)


def described(content: bytes) -> Descriptor:
    """*content* as a layer."""
    return Descriptor(media_type="text/plain", digest=digest_of(content), size=len(content))


def put(repository: Repository, *contents: bytes, tag: str = "") -> bytes:
    """An artefact with *contents*; the bytes of its manifest."""
    for content in (b"{}", *contents):
        repository.put_blob(content)
    layers = tuple(map(described, contents))
    manifest = canonical_json(Artifact(config=described(b"{}"), layers=layers))
    repository.put_manifest(manifest, tag=tag)
    return manifest


class TestRepository:
    """The port's promises, one a test."""

    def test_blobs(self, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
        """A blob comes back as it was put, in however many parts it went."""
        monkeypatch.setattr(remote, "PART_BYTES", 1 << 20)
        for content in (b"one", b"", LARGE):
            assert repository.put_blob(content)
            assert repository.blob(described(content)) == content

    def test_blobs_are_sent_once(self, repository: Repository) -> None:
        """What is there is not sent again."""
        assert repository.put_blob(b"one")
        assert not repository.put_blob(b"one")

    def test_absent_blob(self, repository: Repository) -> None:
        """A blob that is not there is an error that says so."""
        with pytest.raises(NotFoundError):
            repository.blob(described(b"absent"))

    def test_other_size(self, repository: Repository) -> None:
        """A blob of another size than was described is not believed."""
        repository.put_blob(b"one and more")
        longer = msgspec.structs.replace(described(b"one and more"), size=3)
        with pytest.raises((DigestMismatch, NotFoundError)):
            repository.blob(longer)

    def test_manifests(self, repository: Repository) -> None:
        """A manifest is found by its tag and by its digest, the same bytes."""
        manifest = put(repository, b"one", tag="1")
        assert repository.manifest("1") == manifest
        assert repository.manifest(digest_of(manifest)) == manifest

    def test_absent_manifest(self, repository: Repository) -> None:
        """A tag and a digest that are not there are NotFoundError."""
        put(repository, b"one", tag="1")
        for key in ("2", digest_of(b"absent")):
            with pytest.raises(NotFoundError):
                repository.manifest(key)

    def test_tag_moves(self, repository: Repository) -> None:
        """A tag is of the last manifest that was put under it; the one before stays."""
        first, second = put(repository, b"one", tag="1"), put(repository, b"two", tag="1")
        assert repository.manifest("1") == second
        assert repository.manifest(digest_of(first)) == first

    def test_one_manifest_under_two_tags(self, repository: Repository) -> None:
        """A second tag takes nothing from the first."""
        manifest = put(repository, b"one", tag="1")
        repository.put_manifest(manifest, tag="stable")
        assert repository.manifest("1") == repository.manifest("stable") == manifest

    def test_referrers(self, repository: Repository) -> None:
        """What refers to a manifest is listed, each once, with its type."""
        manifest, other = put(repository, b"one", tag="1"), put(repository, b"two", tag="2")
        said = [Attachment(type="text/x-said", content=text) for text in (b"good", b"fast")]
        for _ in range(2):
            attach(repository, manifest, said)
        assert sorted(one.content for one in attached(repository, digest_of(manifest))) == [
            b"fast",
            b"good",
        ]
        types = {one.artifact_type for one in repository.referrers(digest_of(manifest))}
        assert types == {"text/x-said"}
        assert repository.referrers(digest_of(other)) == ()

    def test_artifact_type(self, repository: Repository) -> None:
        """A manifest is kept byte by byte, so its type and its annotations are."""
        manifest = put(repository, b"one", tag="1")
        kept = msgspec.json.decode(repository.manifest("1"), type=Artifact)
        assert kept.artifact_type == ARTIFACT_TYPE
        assert digest_of(repository.manifest("1")) == digest_of(manifest)
