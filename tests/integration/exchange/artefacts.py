"""Artefacts of a small version, whole or spoilt at any step: as layouts, archives and answers."""

from __future__ import annotations

import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests import stores

from shipway.domain.digests import digest_of
from shipway.errors import ShipwayError
from shipway.exchange.layout import LayoutFolder
from shipway.exchange.modelpack import artifact_of
from shipway.registry.records import Manifest

SETTINGS = """
[model]
name = "flight-delay"
task = "binary-classification"
target = "late"

[[objectives]]
metric = "roc_auc"
at_least = 0.6
"""
Spoil = Callable[[dict[str, Any]], object]
Answers = Mapping[str, Callable[[BaseHTTPRequestHandler], object]]


def project_in(folder: Path) -> Path:
    """The folder of a project without anything in its store."""
    folder.mkdir()
    (folder / "shipway.toml").write_text(SETTINGS)
    return folder


def write_layout(
    folder: Path,
    contents: Mapping[str, bytes] | None = None,
    *,
    manifest: Manifest | None = None,
    own: Callable[[bytes], bytes] = lambda content: content,
    spoil: Spoil = lambda artifact: None,
) -> bytes:
    """A layout with one version, and its artefact's bytes.

    *own* changes the bytes of the version's manifest and *spoil* the artefact's; digests and
    sizes of what is changed are right, so that nothing else is wrong with it.
    """
    contents = stores.files("a") if contents is None else contents
    written = artifact_of(manifest or stores.manifest(contents))
    artifact = json.loads(written.content)
    manifest_file = own(written.manifest)
    artifact["layers"][0] |= {"digest": digest_of(manifest_file), "size": len(manifest_file)}
    spoil(artifact)
    layout = LayoutFolder(folder)
    layout.begin()
    for content in (written.config, manifest_file, *contents.values()):
        layout.put_blob(content)
    packed = json.dumps(artifact).encode()
    layout.put_manifest(packed, tag="1")
    return packed


def blob_path(layout: Path, content: bytes) -> Path:
    """Where *content* lies in *layout*."""
    return layout / "blobs" / "sha256" / digest_of(content).removeprefix("sha256:")


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """An entry of an archive, with *fields* of it set to anything."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def write_tar(
    path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w", base: Path | None = None
) -> Path:
    """A tar archive of the files of *base*, then of *members* as they are."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        if base is not None:
            for file in sorted(base.rglob("*")):
                archive.add(file, file.relative_to(base).as_posix(), recursive=False)
        for info, content in members:
            archive.addfile(info)
            archive.fileobj.write(content + b"\0" * (-len(content) % 512))
            archive.offset += len(content) + (-len(content) % 512)
    return path


@contextmanager
def served(layout: Path, answers: Answers | None = None) -> Iterator[str]:
    """``host:port`` of a registry that serves *layout*, but for paths that *answers* has.

    A path is matched by its end, without a query.
    """
    source = LayoutFolder(layout)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.path.partition("?")[0]
            own = [answer for end, answer in (answers or {}).items() if asked.endswith(end)]
            if own:
                own[0](self)
                return
            *_, kind, key = asked.split("/")
            try:
                if kind == "manifests":
                    send(self, source.manifest(key))
                elif kind == "blobs":
                    send(self, (layout / "blobs/sha256" / key.removeprefix("sha256:")).read_bytes())
                else:
                    send(self, b"", status=404)
            except (OSError, ShipwayError):
                send(self, b"", status=404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(
    handler: BaseHTTPRequestHandler,
    content: bytes,
    *,
    status: int = 200,
    says: int | None = None,
    **headers: str,
) -> None:
    """Answer with *content*; it *says* to be of another length where that is given."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content) if says is None else says))
    if says is not None:
        handler.close_connection = True
    handler.end_headers()
    handler.wfile.write(content)
