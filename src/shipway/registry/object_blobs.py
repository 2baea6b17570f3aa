"""Blobs in object storage: an OCI image layout as keys below one prefix, in S3 and its like.

A key is the content's own digest, so that writing it twice writes the same; it is put if it is
absent, and has been acknowledged by the store once ``put`` returns. ``index.json`` is a view,
written last and only in the place of what was read before. What takes an answer for granted is
nobody here: readers hash. Credentials come from the environment, as each cloud's own tools take
them; no error repeats them.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from shipway.domain.digests import digest_of
from shipway.errors import IntegrityError, MissingPackage, StoreError, StoreUnavailable
from shipway.registry.oci import EDITION_BYTES, LAYOUT, Descriptor, hex_of, index_bytes, is_edition

if TYPE_CHECKING:
    from obstore import GetOptions, PutMode
    from obstore.store import ObjectStore

_FOLDER = "blobs/sha256/"
_INDEX = "index.json"
_MARKER = "oci-layout"
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ONE_REQUEST_BYTES = 1 << 30
"""What is larger goes in parts, which S3 cannot make conditional; its key makes it harmless."""
_INDEX_ATTEMPTS = 2
_PATIENCE, _HASTE = timedelta(seconds=300), timedelta(seconds=7)
_QUERY = re.compile(r"\?[^\s\"]+")


class ObjectBlobs:
    """A :class:`~shipway.registry.ports.BlobStore` at *address*, as in ``s3://bucket/prefix``.

    Nothing is asked, and no thread started, before the first use. Raises
    :class:`~shipway.errors.MissingPackage` without the library.
    """

    def __init__(self, address: str) -> None:
        if importlib.util.find_spec("obstore") is None:
            raise MissingPackage.for_extra("obstore", "cloud", "keep blobs in object storage")
        self.where = address

    def put(self, contents: Sequence[bytes]) -> tuple[str, ...]:
        """See the port."""
        digests = tuple(digest_of(content) for content in contents)
        for digest, content in dict(zip(digests, contents, strict=True)).items():
            key = f"{_FOLDER}{hex_of(digest)}"
            size = self._size(key)
            if size is None and len(content) <= _ONE_REQUEST_BYTES:
                if self._write(key, content, "create"):
                    continue
                size = len(content)
            if size != len(content) or self._read(key) != content:
                self._write(key, content, "overwrite")
        return digests

    def open(self, digest: str) -> BinaryIO:
        """See the port."""
        content = self._read(f"{_FOLDER}{hex_of(digest)}")
        if content is None:
            raise IntegrityError(
                f"the blob {digest} cannot be opened: it is not in {self.where}",
                next_step="restore it from a backup, or publish the same files again",
            )
        return io.BytesIO(content)

    def has(self, digest: str) -> bool:
        """See the port."""
        return self._size(f"{_FOLDER}{hex_of(digest)}") is not None

    def digests(self) -> Iterator[str]:
        """See the port."""
        import obstore  # noqa: PLC0415

        with self._translated():
            for batch in obstore.list(self._store, _FOLDER):
                names = [str(each["path"]).removeprefix(_FOLDER) for each in batch]
                yield from (f"sha256:{name}" for name in names if _HEX.fullmatch(name))

    def remove(self, digest: str) -> int:
        """See the port. Whoever reads it meanwhile has it whole in memory, or not at all."""
        import obstore  # noqa: PLC0415

        key = f"{_FOLDER}{hex_of(digest)}"
        with self._translated():
            try:
                size = int(obstore.head(self._hasty, key)["size"])
            except FileNotFoundError:
                return 0
            obstore.delete(self._hasty, key)
        return size

    def write_index(
        self, edition: Callable[[], str], listing: Callable[[], Sequence[Descriptor]]
    ) -> None:
        """See the port.

        Whoever was overtaken twice is done: the second to overtake asked for its listing after
        this call began, so it lists all that this one would.
        """
        for _ in range(_INDEX_ATTEMPTS):
            found = self._tagged(_INDEX, most=EDITION_BYTES)
            now = edition()
            if found is not None and is_edition(found[0], now):
                return
            content = index_bytes(listing(), now)
            if found is None:
                self._write(_MARKER, LAYOUT, "create")
            if self._write(_INDEX, content, "create" if found is None else {"e_tag": found[1]}):
                return

    def read_index(self) -> bytes | None:
        """The index as it stands, None without one."""
        return self._read(_INDEX)

    @cached_property
    def _store(self) -> ObjectStore:
        return self._opened(_PATIENCE, retries=3)

    @cached_property
    def _hasty(self) -> ObjectStore:
        """For removals: two requests end before a database ends whoever holds its lock."""
        return self._opened(_HASTE, retries=0)

    def _opened(self, timeout: timedelta, *, retries: int) -> ObjectStore:
        from obstore.store import from_url  # noqa: PLC0415

        return from_url(
            self.where,
            client_options={
                "connect_timeout": timedelta(seconds=5),
                "timeout": timeout,
                "allow_http": True,  # where an endpoint is named that way: the user's choice
            },
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=15)},
        )

    def _write(self, key: str, content: bytes, mode: PutMode) -> bool:
        """Whether *content* was written; False where *mode* forbids it."""
        import obstore  # noqa: PLC0415
        from obstore.exceptions import AlreadyExistsError, PreconditionError  # noqa: PLC0415

        with self._translated():
            try:
                obstore.put(self._store, key, content, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def _read(self, key: str) -> bytes | None:
        found = self._tagged(key)
        return None if found is None else found[0]

    def _tagged(self, key: str, *, most: int | None = None) -> tuple[bytes, str | None] | None:
        """What is under *key*, or its *most* first bytes, with the tag of this state of it.

        None where there is nothing.
        """
        import obstore  # noqa: PLC0415

        with self._translated():
            try:
                wanted: GetOptions = {} if most is None else {"range": (0, most)}
                got = obstore.get(self._store, key, options=wanted)
                return bytes(got.bytes()), got.meta["e_tag"]
            except FileNotFoundError:
                return None

    def _size(self, key: str) -> int | None:
        import obstore  # noqa: PLC0415

        with self._translated():
            try:
                return int(obstore.head(self._store, key)["size"])
            except FileNotFoundError:
                return None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from obstore import exceptions  # noqa: PLC0415

        refusals = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
        try:
            yield
        except FileNotFoundError as error:  # of a key that is being written
            raise StoreError(
                f"{self.where} cannot be written to: {_said(error)}",
                next_step="make the bucket, or correct store.blobs",
            ) from None
        except refusals as error:
            raise StoreError(
                f"{self.where} refuses us: {_said(error)}",
                next_step="give the credentials the right to read, write and list there",
            ) from None
        except exceptions.BaseError as error:
            raise StoreUnavailable(
                f"{self.where} does not answer now: {_said(error)}",
                next_step="try again in a moment; are the address, the region and the credentials"
                " in the environment right?",
            ) from None


def _said(error: BaseException) -> str:
    """The first line of *error*, without the query of an address: a signature may stand there."""
    return _QUERY.sub("?…", str(error).strip().partition("\n")[0])[:300]
