"""Makers of artefacts that do harm: each writes one into a folder and tells its address."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests import stores
from tests.integration.exchange.artefacts import (
    Spoil,
    blob_path,
    send,
    served,
    write_layout,
    write_tar,
)

from shipway.domain.digests import digest_of
from shipway.exchange.attachments import Attachment, attach
from shipway.exchange.layout import LayoutFolder

Make = Callable[[Path, ExitStack], str]
FILES = stores.files("a")
MODEL = FILES["model.onnx"]
ELSEWHERE = "http://registry.example"


def with_file(*paths: str) -> Make:
    """A version that has files at *paths* beside its own, and is right in all else."""

    def make(folder: Path, _: ExitStack) -> str:
        write_layout(folder / "given", {**FILES, **dict.fromkeys(paths, b"harm")})
        return str(folder / "given")

    return make


def without_main_file(folder: Path, _: ExitStack) -> str:
    rest = {path: content for path, content in FILES.items() if path != "model.onnx"}
    write_layout(folder / "given", rest)
    return str(folder / "given")


def spoilt(spoil: Spoil) -> Make:
    """A version whose artefact *spoil* has changed."""

    def make(folder: Path, _: ExitStack) -> str:
        write_layout(folder / "given", spoil=spoil)
        return str(folder / "given")

    return make


def layer(**changes: Any) -> Make:
    """The layer of the model is changed."""
    return spoilt(lambda artifact: artifact["layers"][2].update(changes))


def own(change: Callable[[bytes], bytes]) -> Make:
    """The version's manifest reads otherwise."""

    def make(folder: Path, _: ExitStack) -> str:
        write_layout(folder / "given", own=change)
        return str(folder / "given")

    return make


def blob(harm: Callable[[Path], object]) -> Make:
    """*harm* was done to the model's blob in a layout."""

    def make(folder: Path, _: ExitStack) -> str:
        write_layout(folder / "given")
        path = blob_path(folder / "given", MODEL)
        path.unlink()
        harm(path)
        return str(folder / "given")

    return make


def layout(harm: Callable[[Path], object]) -> Make:
    """*harm* was done to a layout."""

    def make(folder: Path, _: ExitStack) -> str:
        write_layout(folder / "given")
        harm(folder / "given")
        return str(folder / "given")

    return make


def linked(name: str) -> Make:
    """A part of a layout is a link to where it was moved."""

    def harm(folder: Path) -> None:
        (folder / name).rename(folder / "moved")
        (folder / name).symlink_to("moved")

    return layout(harm)


def archive(
    *members: tuple[tarfile.TarInfo, bytes], harm: Callable[[bytes], bytes] = bytes
) -> Make:
    """A layout as a tar archive, with *members* behind it, and *harm* done to its bytes."""

    def make(folder: Path, _: ExitStack) -> str:
        write_layout(folder / "made")
        path = write_tar(folder / "given.tar", *members, base=folder / "made")
        path.write_bytes(harm(path.read_bytes()))
        return str(path)

    return make


def registry(answers: Callable[[bytes], Mapping[str, Callable[[Any], object]]]) -> Make:
    """A registry that answers as *answers* says for the bytes of the artefact."""

    def make(folder: Path, stack: ExitStack) -> str:
        packed = write_layout(folder / "made")
        address = stack.enter_context(served(folder / "made", answers(packed)))
        return f"{address}/models/flight-delay:1"

    return make


def attached(*attachments: Attachment) -> Make:
    """A version with *attachments*."""

    def make(folder: Path, _: ExitStack) -> str:
        packed = write_layout(folder / "given")
        attach(LayoutFolder(folder / "given"), packed, attachments)
        return str(folder / "given")

    return make


def many(times: int, content: bytes) -> Make:
    """A version that the same attachment is listed for many *times*."""

    def make(folder: Path, stack: ExitStack) -> str:
        given = attached(Attachment(type="x/x", content=content))(folder, stack)
        listed = json.loads((folder / "given" / "index.json").read_bytes())
        listed["manifests"] += [listed["manifests"][-1]] * (times - 1)
        (folder / "given" / "index.json").write_text(json.dumps(listed))
        return given

    return make


def to_model(answer: Callable[[BaseHTTPRequestHandler], object]) -> Make:
    """A registry that answers so when it is asked for the model."""
    return registry(lambda _: {digest_of(MODEL): answer})


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Go on sending until nobody takes it any more."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    try:
        while True:
            handler.wfile.write(b"\0" * 65_536)
    except OSError:
        return


def redirect(to: str) -> Callable[[BaseHTTPRequestHandler], object]:
    return lambda handler: send(handler, b"", status=307, Location=to)


def oversized(artifact: dict[str, Any]) -> None:
    artifact["annotations"]["filler"] = "a" * (5 << 20)


def claims(size: int, times: int = 1) -> Make:
    """Layers that say to be *size* bytes each: nothing of them needs to be there."""

    def spoil(artifact: dict[str, Any]) -> None:
        for at in range(times):
            one = {"mediaType": "x.raw", "digest": digest_of(b"%d" % at), "size": size}
            artifact["layers"].append({**one, "annotations": {"org.cncf.model.filepath": f"f{at}"}})

    return spoilt(spoil)


def pax_bomb(content: bytes) -> bytes:
    """A header of an archive that says that its names are of 2 GiB."""
    info = tarfile.TarInfo("name")
    info.type, info.size = tarfile.XHDTYPE, 2 << 30
    return info.tobuf(tarfile.USTAR_FORMAT) + content


def sparse(_: bytes) -> bytes:
    """An old GNU sparse file, whose map says that it becomes an exbibyte."""
    info = tarfile.TarInfo("model.onnx")
    info.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"00000000000\000000000000\0"
    block[483:495] = b"77777777777\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"\0" * 1024


def index(change: Callable[[dict[str, Any]], object]) -> Make:
    def harm(folder: Path) -> None:
        listed = json.loads((folder / "index.json").read_bytes())
        change(listed)
        (folder / "index.json").write_text(json.dumps(listed))

    return layout(harm)
