"""What every place to keep bytes keeps to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.objects import ObjectStorage

from shipway.domain.digests import digest_of
from shipway.errors import IntegrityError
from shipway.registry.local_blobs import LocalBlobs
from shipway.registry.object_blobs import ObjectBlobs
from shipway.registry.oci import Descriptor, image_descriptor
from shipway.registry.ports import BlobStore

EMPTY = b""


@dataclass
class Kept:
    """A store, and how somebody changes what it keeps without asking it."""

    blobs: BlobStore
    damage: Callable[[str, bytes], object]


def local(request: pytest.FixtureRequest) -> Kept:
    """A folder."""
    folder: Path = request.getfixturevalue("tmp_path") / "blobs"
    inner = folder / "blobs" / "sha256"
    return Kept(
        LocalBlobs(folder),
        lambda digest, content: (inner / digest.removeprefix("sha256:")).write_bytes(content),
    )


def s3(request: pytest.FixtureRequest) -> Kept:
    """A prefix in a bucket of an S3 server."""
    server: ObjectStorage = request.getfixturevalue("s3")
    address = server.fresh()

    def damage(digest: str, content: bytes) -> None:
        key = f"blobs/sha256/{digest.removeprefix('sha256:')}"
        server.request("PUT", server.key(address, key), content)

    return Kept(ObjectBlobs(address), damage)


@pytest.fixture(params=[local, s3])
def kept(request: pytest.FixtureRequest) -> Kept:
    """An empty store of each implementation."""
    made: Kept = request.param(request)
    return made


@pytest.fixture
def blobs(kept: Kept) -> BlobStore:
    """The store alone."""
    return kept.blobs


class TestBlobStore:
    """The port's promises, one a test."""

    def test_put_and_open(self, blobs: BlobStore) -> None:
        """What was put is read back under its SHA-256, the empty content too."""
        contents = [b"one", EMPTY, bytes(range(256)) * 1000]
        digests = blobs.put(contents)
        assert digests == tuple(digest_of(content) for content in contents)
        for digest, content in zip(digests, contents, strict=True):
            with blobs.open(digest) as blob:
                assert blob.read() == content

    def test_put_again(self, blobs: BlobStore) -> None:
        """The same content, twice in one call or later, is kept once."""
        blobs.put([b"one", b"one"])
        blobs.put([b"one"])
        assert list(blobs.digests()) == [digest_of(b"one")]

    def test_put_nothing(self, blobs: BlobStore) -> None:
        """Putting nothing keeps nothing."""
        assert blobs.put([]) == ()
        assert list(blobs.digests()) == []

    @pytest.mark.parametrize("content", [b"", b"0ne", b"longer than one"])
    def test_damaged(self, kept: Kept, content: bytes) -> None:
        """A copy that was damaged, of whatever size, is replaced when the content is put again."""
        (digest,) = kept.blobs.put([b"one"])
        kept.damage(digest, content)
        with kept.blobs.open(digest) as blob:
            assert blob.read() == content
        kept.blobs.put([b"one"])
        with kept.blobs.open(digest) as blob:
            assert blob.read() == b"one"

    def test_has(self, blobs: BlobStore) -> None:
        """A store has what was put, and nothing else."""
        blobs.put([b"one"])
        assert blobs.has(digest_of(b"one"))
        assert not blobs.has(digest_of(b"two"))

    def test_remove(self, blobs: BlobStore) -> None:
        """What was removed is gone, at most once, and can be put again; the rest stays."""
        one, two = blobs.put([b"one", b"two"])
        assert blobs.remove(one) == 3
        assert blobs.remove(one) == 0
        assert not blobs.has(one)
        assert list(blobs.digests()) == [two]
        blobs.put([b"one"])
        assert blobs.has(one)

    def test_absent(self, blobs: BlobStore) -> None:
        """Opening what there is not names the digest and what to do."""
        with pytest.raises(IntegrityError, match=digest_of(b"two")) as caught:
            blobs.open(digest_of(b"two"))
        assert "backup" in caught.value.next_step

    @pytest.mark.parametrize(
        "digest", ["", "sha256:", "sha256:../../x", "md5:" + "0" * 32, "sha256:" + "A" * 64, "x"]
    )
    def test_malformed_digest(self, blobs: BlobStore, digest: str) -> None:
        """A digest that is none never becomes a path or a key."""
        with pytest.raises(IntegrityError, match="is not a digest"):
            blobs.open(digest)

    def test_at_once(self, blobs: BlobStore) -> None:
        """Eight threads that put overlapping contents all succeed, and all is whole."""
        contents = [f"content {index}".encode() * 1000 for index in range(20)]
        threads = [
            threading.Thread(target=blobs.put, args=(contents[start : start + 12],))
            for start in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kept = set(blobs.digests())
        assert kept == {digest_of(content) for content in contents[:19]}
        for digest in kept:
            with blobs.open(digest) as blob:
                assert digest_of(blob.read()) == digest

    def test_index(self, blobs: BlobStore) -> None:
        """An index is written once for each edition, and that changes nothing that is kept."""
        images = [image_descriptor(b"{}")]
        asked: list[int] = []

        def listing() -> list[Descriptor]:
            asked.append(1)
            return images

        blobs.put([b"{}"])
        blobs.write_index(lambda: "1", listing)
        blobs.write_index(lambda: "1", listing)
        assert len(asked) == 1
        images.append(msgspec.structs.replace(images[0], annotations={"a": "b"}))
        blobs.write_index(lambda: "2", listing)
        assert len(asked) == 2
        assert list(blobs.digests()) == [digest_of(b"{}")]
