"""Strings that were the way out of a folder somewhere: thirty shapes in ten encodings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

SHAPES = (
    "{up}{name}", "../{name}", "../../{name}", "a/../../{name}", "a/../../../{name}", "./../{name}",
    "..;/{name}", "..\\{name}", "..\\..\\{name}", "....//{name}", "..//{name}", "//{name}",
    "/{name}", "{path}", "//{path}", "/./{path}", "file:{path}", "file://{path}", "file://h{path}",
    "C:{name}", "C:\\{name}", "\\\\host\\share\\{name}", "~/{name}", "/proc/self/root{path}",
    "/dev/fd/../..{path}", "{name}#/../{name}", "{name}?/../{name}", "..", "{up}{name}.",
    "{up}{name}\x00.onnx",
)  # fmt: skip

Encode = Callable[[str], str]
ENCODINGS: Mapping[str, Encode] = {
    "plain": lambda text: text,
    "percent": lambda text: text.replace(".", "%2e").replace("/", "%2f"),
    "upper percent": lambda text: text.replace(".", "%2E").replace("/", "%2F"),
    "percent twice": lambda text: text.replace(".", "%252e").replace("/", "%252f"),
    "slashes": lambda text: text.replace("/", "%2f"),
    "backslashes": lambda text: text.replace("/", "\\"),
    "overlong": lambda text: text.replace(".", "\u00c0\u00ae").replace("/", "\u00c0\u00af"),
    "full width": lambda text: text.replace(".", "\uff0e").replace("/", "\uff0f"),
    "dots": lambda text: text.replace("..", "\u2025").replace("/", "\u2215"),
    "blanks": lambda text: f" {text} ",
}


def ways_to(canary: Path, below: Path) -> Iterator[str]:
    """Every string of the corpus, aimed at *canary* from the folder *below*, which it is above."""
    up = "../" * (len(below.parts) - len(canary.parent.parts))
    for encode in ENCODINGS.values():
        for shape in SHAPES:
            yield encode(shape.format(up=up, name=canary.name, path=canary))


def as_target(text: str) -> str:
    """*text* as it may stand in the target of a request: signs that HTTP has none for in percent.

    Dots, slashes and percents stay as they are.
    """
    return quote(text, safe="/%.;:#?\\~@")


def climbs(text: str) -> bool:
    """Whether some system takes *text*, as it is, for a path that leads elsewhere."""
    parts = text.replace("\\", "/").split("/")
    return text.startswith(("/", "\\")) or ".." in parts or "\x00" in text
