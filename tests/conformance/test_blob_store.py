"""What every place to keep bytes keeps to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from shipway.domain.digests import digest_of
from shipway.errors import IntegrityError
from shipway.registry.local_blobs import LocalBlobs
from shipway.registry.oci import Descriptor, image_descriptor
from shipway.registry.ports import BlobStore

IMPLEMENTATIONS: dict[str, Callable[[Path], BlobStore]] = {"local": LocalBlobs}
EMPTY = b""


@pytest.fixture(params=list(IMPLEMENTATIONS))
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store of each implementation."""
    return IMPLEMENTATIONS[request.param](tmp_path / "blobs")


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
        """An index is asked for and written again and again without changing what is kept."""
        images = [image_descriptor(b"{}")]
        asked: list[int] = []

        def listing() -> list[Descriptor]:
            asked.append(1)
            return images

        blobs.put([b"{}"])
        blobs.write_index(listing)
        images.append(msgspec.structs.replace(images[0], annotations={"a": "b"}))
        blobs.write_index(listing)
        assert len(asked) >= 2
        assert list(blobs.digests()) == [digest_of(b"{}")]
