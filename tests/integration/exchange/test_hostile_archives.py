"""Archives of models, made to do harm: each is refused by its own error, nothing is unpacked."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.exchange.artefacts import member, project_in
from tests.integration.exchange.makers import pax_bomb, sparse

from shipway.api.import_model import import_model
from shipway.api.project import open_project
from shipway.errors import ShipwayError

MLMODEL = member("model/MLmodel", b"flavors: {onnx: {data: model.onnx}}")


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive of *members* behind the file that makes it a model."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info, content in (MLMODEL, *members):
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return packed.getvalue()


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """The same, compressed."""
    return gzip.compress(tar(*members))


CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "traversal": (lambda: packed(member("../harm", b"x")), "model.unreadable", "'..' in it"),
    "absolute": (lambda: packed(member("/var/harm", b"x")), "model.unreadable", "is absolute"),
    "link": (
        lambda: packed(member("model/model.onnx", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        "model.unreadable",
        "a link to",
    ),
    "hard-link": (
        lambda: tar(member("model/model.onnx", type=tarfile.LNKTYPE, linkname="../../passwd")),
        "model.unreadable",
        "a hard link to",
    ),
    "device": (lambda: packed(member("a", type=tarfile.BLKTYPE)), "model.unreadable", "a device"),
    "pipe": (lambda: tar(member("a", type=tarfile.FIFOTYPE)), "model.unreadable", "a pipe"),
    "sparse": (lambda: gzip.compress(sparse(b"")), "model.unreadable", "sparse file"),
    "header-bomb": (lambda: gzip.compress(pax_bomb(b"")), "model.unreadable", "any name"),
    "bomb": (lambda: gzip.compress(bytes(64 << 20)), "limit.too-large", "200 times as large"),
    "bomb-in-a-bomb": (
        lambda: gzip.compress(gzip.compress(bytes(64 << 20))),
        "model.unreadable",
        "no tar archive",
    ),
    "too-large": (
        lambda: packed(member("big", b"x" * (3 << 20))),
        "limit.too-large",
        "pull_limit_expanded_bytes",
    ),
    "too-many": (
        lambda: packed(*(member(f"f{at}") for at in range(1_000))),
        "limit.too-large",
        "pull_limit_files",
    ),
    "truncated": (lambda: packed()[:-9], "model.unreadable", "breaks off"),
    "with-a-tail": (lambda: packed() + b"MZ", "model.unreadable", "follows after its end"),
    "two-streams": (lambda: packed() + packed(), "model.unreadable", "follows after its end"),
    "damaged": (
        lambda: packed()[:40] + b"\0\0\0\0" + packed()[44:],
        "model.unreadable",
        "refused",
    ),
    "two-models": (lambda: packed(member("b/MLmodel")), "model.unreadable", "it has 2 files"),
    "same-twice": (lambda: tar(MLMODEL), "model.unreadable", "are one file"),
    "case-collision": (lambda: tar(member("Model/mlmodel")), "model.unreadable", "are one file"),
    "device-name": (lambda: tar(member("model/nul.onnx")), "model.unreadable", "of Windows"),
    "no-file": (packed, "model.unreadable", "no file 'model/model.onnx'"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_made_to_do_harm_is_refused(case: str, tmp_path: Path) -> None:
    """The error says what is wrong; nothing is published and no file of it is written."""
    make, code, says = CASES[case]
    folder = project_in(tmp_path / "project")
    (tmp_path / "given").write_bytes(make())
    flags = {"store.pull_limit_expanded_bytes": str(2 << 20)} if case == "too-large" else {}
    with open_project(folder, environ={}, flags=flags) as project:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(ShipwayError) as caught:
            import_model(project, str(tmp_path / "given"))
        assert says in str(caught.value)
        assert caught.value.code == code
        assert caught.value.next_step
        assert sorted(tmp_path.rglob("*")) == before
