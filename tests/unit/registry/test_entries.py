"""Which files a version may have."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.registry.entries import content_problems, file_entries, path_fault, path_problems

HOSTILE = [
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "..\\x",
    "a\\b",
    "C:/x",
    "C:x",
    "//host/share",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "a.",
    "a ",
    "dir./x",
    "a:stream",
    "e\u0301.onnx",
    "x" * 256,
    "/".join(["abcdefgh"] * 200),
    "a*",
    "\ud800",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_paths(path: str) -> None:
    """A path that leaves the folder, or means two things on two systems, is refused."""
    assert path_fault(path)


@pytest.mark.parametrize(
    "path", ["model.onnx", "a/b/c.txt", "Größe.json", "with space.md", ".hidden", "a..b"]
)
def test_plain_paths(path: str) -> None:
    """An ordinary name is let through."""
    assert path_fault(path) == ""


@given(st.text(max_size=40))
def test_what_is_let_through_stays_inside(path: str) -> None:
    """Whatever is let through names a file below the folder it is joined to."""
    if path_fault(path):
        return
    for flavour in (PurePosixPath, PureWindowsPath):
        whole = flavour("root").joinpath(flavour(path))
        assert whole.parts[0] == "root"
        assert len(whole.parts) > 1
        assert ".." not in whole.parts
        assert not flavour(path).is_absolute()
    assert unicodedata.is_normalized("NFC", path)


def test_clashes() -> None:
    """Two names for one file, and a file in the place of a folder, are told together."""
    entries = file_entries({"Model.onnx": b"1", "model.onnx": b"2", "a": b"", "A/b": b""})
    messages = " ".join(str(problem) for problem in path_problems(entries))
    assert "'model.onnx' and 'Model.onnx' are one file" in messages
    assert "'A/b' lies below another file" in messages


def test_described_files_have_no_problems() -> None:
    """What ``file_entries`` describes is what was given, sorted, with its kind."""
    files = {"model.onnx": b"abc", "contract.yaml": b"x", "blob": b""}
    entries = file_entries(files)
    assert [entry.path for entry in entries] == ["blob", "contract.yaml", "model.onnx"]
    assert [entry.media_type for entry in entries] == [
        "application/octet-stream",
        "application/yaml",
        "application/vnd.onnx",
    ]
    assert [*path_problems(entries), *content_problems(entries, files)] == []


def test_each_difference_is_named() -> None:
    """A missing, an unlisted, a changed file and a wrong size are all told, each by name."""
    files = {"a": b"1", "b": b"2", "c": b"3", "d": b"4"}
    *entries, last = file_entries(files)
    entries.append(msgspec.structs.replace(last, size_bytes=9))
    given_files = {"a": b"1", "b": b"changed", "e": b"5", "d": b"4"}
    codes = {
        problem.message.split("'")[1]: problem.code
        for problem in content_problems(entries, given_files)
    }
    assert codes == {
        "b": "registry.file-differs",
        "c": "registry.file-missing",
        "d": "registry.file-differs",
        "e": "registry.file-unlisted",
    }
