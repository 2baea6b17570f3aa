"""Single changes to a signed model by chance: each makes another model of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

FILES: Mapping[str, bytes] = {
    "contract.yaml": b"columns: []\n" * 9,
    "model.onnx": bytes(range(256)) * 20,
    "notes/Why.md": b"# Why\n",
    "notes/deep/how.md": b"# How\n" * 7,
    "shipway.toml": b"[model]\n",
    "one": b"1",
    "two": b"2",
}

Mutation = Callable[[random.Random, Path], None]


def _file(source: random.Random, folder: Path) -> Path:
    return folder / source.choice(sorted(FILES))


def flip(source: random.Random, folder: Path) -> None:
    """One bit of one file is another one."""
    path = _file(source, folder)
    content = bytearray(path.read_bytes())
    content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    path.write_bytes(content)


def add(source: random.Random, folder: Path) -> None:
    """There is a file more, hidden or not, perhaps in a folder of its own, perhaps empty."""
    name = source.choice(
        ["evil.py", ".hidden", "notes/more.md", "new/evil.pkl", "notes/.git/config", ".gitmodules",
         "notes/.gitignore", "model.sig.bak", "é", "a b", "model.onnx~"]
    )  # fmt: skip
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source.randbytes(source.randrange(3)))


def remove(source: random.Random, folder: Path) -> None:
    """A file is gone."""
    _file(source, folder).unlink()


def rename(source: random.Random, folder: Path) -> None:
    """A file has another name."""
    path = _file(source, folder)
    path.rename(path.with_name(f"{path.name}{source.choice('.~x')}"))


def move(source: random.Random, folder: Path) -> None:
    """A file lies in another folder."""
    path = _file(source, folder)
    target = folder / source.choice(["moved", "notes/deep/er"]) / path.name
    target.parent.mkdir(parents=True)
    path.rename(target)


def change_case(source: random.Random, folder: Path) -> None:
    """A file's name is in another case."""
    path = _file(source, folder)
    path.rename(path.with_name(path.name.swapcase()))


def swap(source: random.Random, folder: Path) -> None:
    """Two files have each other's content: the digest over all digests may stay what it was."""
    one, other = source.sample(sorted(FILES), 2)
    content = (folder / one).read_bytes()
    (folder / one).write_bytes((folder / other).read_bytes())
    (folder / other).write_bytes(content)


def truncate(source: random.Random, folder: Path) -> None:
    """A file ends too early."""
    path = _file(source, folder)
    content = path.read_bytes()
    path.write_bytes(content[: source.randrange(len(content))])


def extend(source: random.Random, folder: Path) -> None:
    """A file goes on after its end."""
    with _file(source, folder).open("ab") as file:
        file.write(source.randbytes(1))


def link(source: random.Random, folder: Path) -> None:
    """A file is a link to the same bytes elsewhere."""
    path = _file(source, folder)
    outside = folder.with_name(f"{folder.name}-outside")
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside)


def link_folder(source: random.Random, folder: Path) -> None:
    """A folder is a link to the same files elsewhere."""
    path = folder / source.choice(["notes", "notes/deep"])
    outside = folder.with_name(f"{folder.name}-outside")
    shutil.move(path, outside)
    path.symlink_to(outside)


MUTATIONS: tuple[Mutation, ...] = (
    flip, add, remove, rename, move, change_case, swap, truncate, extend, link, link_folder,
)  # fmt: skip
