"""Header blocks in, heads out: HPACK, the rules of RFC 9113 (8.2, 8.3), and a memory.

A client repeats its heads, and once the fields are in the table of the connection they are the
same few bytes. A block that did not change the table means the same until the table changes; it
is recognised and not read again.
"""

from __future__ import annotations

import re

import hpack
from hpack.exceptions import HPACKError

from shipway.serving.http.limits import Limits
from shipway.serving.http2.wire import Code, ConnectionBroken, StreamBroken

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*+")
_BAD = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_NEEDED = frozenset({b":method", b":scheme", b":path"})
_OF_CONNECTIONS = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_REMEMBERED = 8
_REMEMBERED_BYTES = 2048
_HARD = 2
"""Times the limit: what is larger cannot even be refused by itself, and ends the connection."""


class Head:
    """One request's head; not changed once it is made, as a connection may meet it again.

    ``headers`` are without the four that begin with a colon; one that came more often has its
    values joined by commas and its name in ``repeated``. ``excess`` says that there was more than
    the limits allow, and nothing of it is here. ``made`` is the application's, to remember what it
    made of the head.
    """

    __slots__ = ("excess", "headers", "length", "made", "method", "path", "repeated")

    def __init__(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.repeated: tuple[bytes, ...] = ()
        self.length: int | None = None
        self.excess = False
        self.made: object = None


class HeadReader:
    """Reads the header blocks of one connection, in the order in which they came."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = hpack.Decoder(max_header_list_size=_HARD * limits.max_head_bytes)
        self._known: dict[bytes, Head] = {}

    @property
    def most_bytes(self) -> int:
        """How long a block may be to be read at all."""
        return _HARD * self._limits.max_head_bytes

    def read(self, block: bytes) -> Head:
        """The head in *block*.

        Raises ConnectionBroken for what is no HPACK, StreamBroken for what is no request.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        fields, unchanged = self._decoded(block)
        head = self._head(fields)
        if unchanged and not head.excess and len(block) <= _REMEMBERED_BYTES:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[block] = head
        return head

    def read_trailers(self, block: bytes) -> None:
        """Check the trailers in *block*, of which nothing is used. Raises as :meth:`read` does."""
        fields, _ = self._decoded(block)
        for name, value in fields:
            if name.startswith(b":"):
                raise StreamBroken(Code.PROTOCOL_ERROR)
            _check(name, value)

    def skip(self, block: bytes) -> None:
        """Follow what *block* does to the table: its stream is not answered any more."""
        self._decoded(block)

    def _decoded(self, block: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
        """The fields of *block*, and whether the table is as it was before."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        count, size = len(entries), table.maxsize
        newest = entries[0] if entries else None
        try:
            fields = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            self._known.clear()
            raise ConnectionBroken(
                Code.COMPRESSION_ERROR,
                f"a head is no HPACK, or over {_HARD} times serve.max_head_bytes"
                f" ({self._limits.max_head_bytes} bytes)",
            ) from error
        # An entry that is added is an object of its own, and the first.
        unchanged = len(entries) == count and table.maxsize == size
        unchanged = unchanged and (entries[0] if entries else None) is newest
        if not unchanged:
            self._known.clear()
        return [(name, value) for name, value in fields], unchanged

    def _head(self, fields: list[tuple[bytes, bytes]]) -> Head:
        size = sum(len(name) + len(value) + 32 for name, value in fields)
        limits = self._limits
        if size > limits.max_head_bytes or len(fields) > limits.max_headers:
            head = Head(b"", b"", {})
            head.excess = True
            return head
        pseudo: dict[bytes, bytes] = {}
        headers: dict[bytes, bytes] = {}
        repeated: list[bytes] = []
        for name, value in fields:
            if name.startswith(b":"):
                if headers or name in pseudo or name not in _PSEUDO or _BAD.search(value):
                    raise StreamBroken(Code.PROTOCOL_ERROR)
                pseudo[name] = value
                continue
            _check(name, value)
            if name in headers:
                repeated.append(name)
                headers[name] = b"%b, %b" % (headers[name], value)
            else:
                headers[name] = value
        path = pseudo.get(b":path", b"")
        if not pseudo.keys() >= _NEEDED or not path:
            raise StreamBroken(Code.PROTOCOL_ERROR)
        head = Head(pseudo[b":method"], path, headers)
        head.repeated = tuple(repeated)
        head.length = _length(headers.get(b"content-length"))
        return head


def _check(name: bytes, value: bytes) -> None:
    if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
        raise StreamBroken(Code.PROTOCOL_ERROR)
    if value != value.strip(b" \t"):
        raise StreamBroken(Code.PROTOCOL_ERROR)
    if name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
        raise StreamBroken(Code.PROTOCOL_ERROR)


def _length(text: bytes | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or len(text) > 19:
        raise StreamBroken(Code.PROTOCOL_ERROR)
    return int(text)
