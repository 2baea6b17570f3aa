"""Code becomes an archive that depends on the files alone, and comes out of it as it was."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from shipway.errors import ModelFileError
from shipway.runtimes.sources import Unpacked, archive, is_source, read_source


def tree(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_what_is_code(tmp_path: Path) -> None:
    """A folder and a .py with or without a name in it are code; a model file is not."""
    assert is_source(tmp_path)
    assert is_source(Path("serving.py"))
    assert is_source(Path("some/serving.py:Model"))
    assert not is_source(Path("model.onnx"))


def test_a_file_stands_alone(tmp_path: Path) -> None:
    """``serving.py:Model`` carries that one file, whatever lies beside it."""
    tree(tmp_path, serving_dot_py="x", secret_dot_txt="s")
    source = read_source(tmp_path / "serving.py:Model", None)
    assert dict(source.files) == {"serving.py": b"x"}
    assert source.entry == "serving:Model"
    assert read_source(tmp_path / "serving.py", "serving:f").entry == "serving:f"


def test_a_folder_is_carried_whole_but_for_what_is_hidden(tmp_path: Path) -> None:
    """Code and files of a folder enter the version; hidden files and caches do not, as is told."""
    tree(tmp_path, app__main_dot_py="x", data__weights_dot_txt="w", _dot_env="KEY=1")
    tree(tmp_path / "__pycache__", x="c")
    source = read_source(tmp_path, "app.main:Model")
    assert sorted(source.files) == ["app/main.py", "data/weights.txt"]
    assert source.left_out == (".env", "__pycache__")


@pytest.mark.parametrize("entry", [None, "", "serving", "serving:", ":f", "a b:c", "other:f"])
def test_an_entry_that_names_nothing_is_refused(tmp_path: Path, entry: str | None) -> None:
    """What predicts must be said as module:name, and the module must be there."""
    tree(tmp_path, serving_dot_py="x")
    with pytest.raises(ModelFileError) as caught:
        read_source(tmp_path, entry)
    assert "module:name" in caught.value.next_step or "--entry" in caught.value.next_step


def test_links_are_refused(tmp_path: Path) -> None:
    """A link could bring in what lies elsewhere; each is named."""
    tree(tmp_path, serving_dot_py="x")
    (tmp_path / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(ModelFileError) as caught:
        read_source(tmp_path, "serving:f")
    assert [problem.where for problem in caught.value.problems] == ["passwords"]


def test_equal_files_make_equal_archives(tmp_path: Path) -> None:
    """The archive knows nothing of times and orders, and comes out read-only as it went in."""
    files = {"a.py": b"x", "data/w.bin": bytes(1000)}
    data = archive(files)
    assert data == archive(dict(reversed(files.items())))
    unpacked = Unpacked.of(data)
    assert (unpacked.source / "data" / "w.bin").read_bytes() == bytes(1000)
    assert (unpacked.source / "a.py").stat().st_mode & 0o222 == 0
    assert unpacked.source.stat().st_mode & 0o222 == 0
    assert list(unpacked.home.iterdir()) == []
    unpacked.remove()
    assert not unpacked.folder.exists()
    unpacked.remove()


@pytest.mark.parametrize("name", ["../evil.py", "source/../../evil.py", "/evil.py", "model.py"])
def test_an_archive_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    """Nothing is written outside of the folder, and nothing is left of what was begun."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("source/serving.py", "x")
        zipped.writestr(name, "evil")
    before = leftovers()
    with pytest.raises(ModelFileError, match="damaged"):
        Unpacked.of(buffer.getvalue())
    assert leftovers() == before


def test_what_a_killed_process_left_is_removed() -> None:
    """The folder of a process that is no more goes away when another one unpacks."""
    orphan = Unpacked.of(archive({"a.py": b"x"}))
    left = orphan.folder.with_name(orphan.folder.name.replace(f"-{os.getpid()}-", "-999999999-"))
    orphan.folder.rename(left)
    Unpacked.of(archive({"a.py": b"x"})).remove()
    assert not left.exists()


def leftovers() -> set[Path]:
    """What this process has unpacked and not removed."""
    import tempfile

    return set(Path(tempfile.gettempdir()).glob(f"shipway-python-{os.getpid()}-*"))
