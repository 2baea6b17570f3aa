"""The corpus of raw requests: what stands in its files, as bytes."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tests.serving_rig import infer_body

_FOLDER = Path(__file__).parent / "http"
_TOKEN = re.compile(r"‹(#x |#)?([^×›]+?)(?:×(\d+))?›", re.DOTALL)
_PICTURES = {chr(0x2400 + code): chr(code) for code in range(32)} | {"␡": "\x7f"}


class Case(msgspec.Struct, frozen=True):
    """What a client sends, and what it must get; README.md beside the files says how they read."""

    name: str
    raw: str
    answers: list[int]
    seen: int | None = None
    closes: bool = False
    bodyless: bool = False

    @property
    def data(self) -> bytes:
        """The bytes that are sent."""
        return expand(self.raw)

    @property
    def handled(self) -> int:
        """How many requests the application is given."""
        if self.seen is not None:
            return self.seen
        return sum(200 <= status < 300 for status in self.answers)


def cases() -> Iterator[Case]:
    """All of them."""
    for path in sorted(_FOLDER.glob("*.toml")):
        yield from msgspec.convert(tomllib.loads(path.read_text())["case"], list[Case])


def expand(text: str) -> bytes:
    """The bytes that *text* stands for."""
    parts = []
    at = 0
    for found in _TOKEN.finditer(text):
        parts.append(_plain(text[at : found.start()]))
        kind, name, times = found.groups()
        if times:
            parts.append(_plain(name) * int(times))
        else:
            body = _BODIES[name]
            parts.append({"#": b"%d", "#x ": b"%x"}[kind] % len(body) if kind else body)
        at = found.end()
    return b"".join((*parts, _plain(text[at:])))


def _plain(text: str) -> bytes:
    for picture, character in {"\n": "\r\n", **_PICTURES}.items():
        text = text.replace(picture, character)
    return text.encode("latin-1")


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def _bodies() -> dict[str, bytes]:
    good = json.dumps(infer_body()).encode()
    packed = gzip.compress(good, mtime=0)
    return {
        "good": good,
        "gzip": packed,
        "zlib": zlib.compress(good),
        "deflate": _raw_deflate(good),
        "gzip-cut": packed[:-9],
        "deflate-cut": _raw_deflate(good)[:-3],
        "gzip-more": packed + b"more",
        "gzip-twice": packed + packed,
        "gzip-wrong": packed[:-8] + bytes(4) + packed[-4:],
        "full": gzip.compress(bytes(64 << 10), mtime=0),
        "over": gzip.compress(bytes((64 << 10) + 1), mtime=0),
        "bomb": gzip.compress(bytes(32 << 20), mtime=0),
        "bomb-zlib": zlib.compress(bytes(32 << 20)),
    }


_BODIES = _bodies()
