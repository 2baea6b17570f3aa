"""Artefacts made to do harm, and the error that each must end with: code, and words of it."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from tests import stores
from tests.integration.exchange.artefacts import (
    member,
    send,
    write_layout,
)
from tests.integration.exchange.makers import (
    ELSEWHERE,
    MODEL,
    Make,
    archive,
    attached,
    blob,
    claims,
    endless,
    index,
    layer,
    layout,
    linked,
    many,
    oversized,
    own,
    pax_bomb,
    redirect,
    registry,
    sparse,
    spoilt,
    to_model,
    with_file,
    without_main_file,
)

from shipway.domain.digests import digest_of
from shipway.exchange.attachments import EVIDENCE_TYPE, Attachment
from shipway.security.statements import BUNDLE_TYPE

CASES: dict[str, tuple[Make, str, str]] = {
    # Names that mean another place, or two files that are one.
    "traversal": (with_file("../harm"), "model.unreadable", "'..' in it"),
    "traversal-within": (with_file("a/../../harm"), "model.unreadable", "'..' in it"),
    "absolute-path": (with_file("/var/harm"), "model.unreadable", "it is absolute"),
    "backslash": (with_file("..\\harm"), "model.unreadable", "a backslash"),
    "drive-letter": (with_file("C:harm"), "model.unreadable", "a colon"),
    "device-name": (with_file("aux.txt"), "model.unreadable", "a device of Windows"),
    "case-collision": (with_file("MODEL.onnx"), "model.unreadable", "are one file"),
    "file-below-file": (with_file("model.onnx/x"), "model.unreadable", "below another file"),
    "empty-part": (with_file("a//b"), "model.unreadable", "an empty part"),
    "control-character": (with_file("a\x1b[2Jb"), "model.unreadable", "control character"),
    "decomposed-name": (with_file("e\u0301"), "model.unreadable", "NFC"),
    "trailing-dot": (with_file("model.onnx."), "model.unreadable", "ends with a dot"),
    "longest-name": (with_file("a" * 300), "model.unreadable", "longer than 255"),
    # An artefact that is not what it says.
    "unlisted-layer": (claims(1), "model.unreadable", "not in the version's manifest"),
    "missing-layer": (spoilt(lambda one: one["layers"].pop()), "model.unreadable", "no layer is"),
    "other-layer": (layer(digest=digest_of(b"x"), size=1), "model.unreadable", "not what the"),
    "repeated-layer": (
        spoilt(lambda one: one["layers"].append(one["layers"][2])),
        "model.unreadable",
        "two layers are 'model.onnx'",
    ),
    "two-manifests": (
        spoilt(lambda one: one["layers"].append(one["layers"][0])),
        "model.unreadable",
        "two layers are 'shipway-manifest.json'",
    ),
    "wrong-media-type": (layer(mediaType="a.tar"), "model.unreadable", "comes as 'a.tar'"),
    "foreign-layer": (layer(urls=["https://x.example"]), "model.unreadable", "outside of the"),
    "negative-size": (layer(size=-1), "model.unreadable", "that nothing can have"),
    "no-digest": (layer(digest="sha256:../../etc"), "model.unreadable", "that nothing can have"),
    "weak-digest": (layer(digest="md5:" + "0" * 32), "model.unreadable", "that nothing can have"),
    "no-layers": (spoilt(lambda one: one["layers"].clear()), "model.unreadable", "0 layers"),
    "index": (
        spoilt(lambda one: one.update(mediaType="application/vnd.oci.image.index.v1+json")),
        "model.unreadable",
        "it is a application/vnd.oci.image.index",
    ),
    "no-artefact": (spoilt(lambda one: one.clear()), "model.unreadable", "not an OCI artefact"),
    "another-tool": (
        spoilt(lambda one: one["layers"].pop(0)),
        "model.unreadable",
        "no manifest of Shipway's",
    ),
    "another-manifest": (own(lambda text: text + b" "), "model.unreadable", "as this release"),
    "unknown-field": (
        own(lambda text: text[:-1] + b',"zeta":1}'),
        "model.unreadable",
        "as this release",
    ),
    "no-manifest": (own(lambda _: b"[]"), "model.unreadable", "not the manifest of a version"),
    "deep-manifest": (
        own(lambda _: b'{"a":' * 100_000),
        "model.unreadable",
        "not the manifest of a version",
    ),
    "another-model": (
        own(lambda text: text.replace(b'"flight-delay"', b'"../evil"')),
        "model.unreadable",
        "a version of '../evil'",
    ),
    "no-main-file": (without_main_file, "model.unreadable", "its main file 'model.onnx'"),
    # Too much of it.
    "too-many-files": (claims(1, times=1_000), "limit.too-large", "pull_limit_files"),
    "too-large-file": (claims(3 << 30), "limit.too-large", "pull_limit_file_bytes"),
    "too-large-in-all": (claims(1 << 30, times=5), "limit.too-large", "pull_limit_bytes"),
    "too-large-artefact": (spoilt(oversized), "limit.too-large", "is of 5,"),
    "too-large-manifest": (
        own(lambda _: b"a" * (5 << 20)),
        "limit.too-large",
        "the manifest of the version",
    ),
    # Bytes in a folder.
    "wrong-bytes": (
        blob(lambda path: path.write_bytes(b"x" * len(MODEL))),
        "registry.digest-mismatch",
        "is something else",
    ),
    "truncated-blob": (
        blob(lambda path: path.write_bytes(MODEL[:-1])),
        "registry.digest-mismatch",
        "is something else",
    ),
    "longer-blob": (
        blob(lambda path: path.write_bytes(MODEL + b"x")),
        "registry.not-found",
        "larger than",
    ),
    "absent-blob": (blob(lambda path: None), "registry.not-found", "has no blob"),
    "linked-blob": (
        blob(lambda path: path.symlink_to("/etc/hostname")),
        "registry.not-found",
        "Too",
    ),
    "pipe-as-blob": (blob(os.mkfifo), "registry.not-found", "no plain file"),
    "folder-as-blob": (blob(Path.mkdir), "registry.not-found", "no plain file"),
    "linked-folder": (
        linked("blobs"),
        "registry.not-found",
        "cannot be read",
    ),
    "linked-index": (
        linked("index.json"),
        "model.unreadable",
        "Too many levels",
    ),
    "damaged-index": (
        layout(lambda one: (one / "index.json").write_bytes(b"[" * 100_000)),
        "model.unreadable",
        "index.json is damaged",
    ),
    "too-large-index": (
        layout(lambda one: (one / "index.json").write_bytes(b" " * (5 << 20))),
        "model.unreadable",
        "larger than",
    ),
    "which-one": (
        layout(lambda one: write_layout(one, stores.files("b"))),
        "usage.invalid",
        "holds 2 artefacts",
    ),
    "path-as-digest": (
        index(lambda one: one["manifests"][0].update(digest="sha256:../../../harm")),
        "registry.integrity",
        "not a digest",
    ),
    # Archives.
    "tar-traversal": (archive(member("../harm", b"x")), "model.unreadable", "'..' in it"),
    "tar-absolute": (archive(member("/var/harm", b"x")), "model.unreadable", "it is absolute"),
    "tar-link": (
        archive(member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        "model.unreadable",
        "a link to '/etc/passwd'",
    ),
    "tar-hard-link": (
        archive(member("a", type=tarfile.LNKTYPE, linkname="index.json")),
        "model.unreadable",
        "a hard link to 'index.json'",
    ),
    "tar-device": (
        archive(member("a", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
        "model.unreadable",
        "is a device",
    ),
    "tar-pipe": (archive(member("a", type=tarfile.FIFOTYPE)), "model.unreadable", "is a pipe"),
    "tar-setuid": (archive(member("a", b"x", mode=0o4755)), "model.unreadable", "setuid"),
    "tar-duplicate": (archive(member("index.json", b"{}")), "model.unreadable", "are one file"),
    "tar-case-collision": (archive(member("Index.json")), "model.unreadable", "are one file"),
    "tar-device-name": (archive(member("con", b"x")), "model.unreadable", "device of Windows"),
    "tar-sparse": (archive(harm=sparse), "model.unreadable", "sparse file"),
    "tar-header-bomb": (archive(harm=pax_bomb), "model.unreadable", "larger than any name"),
    "tar-truncated": (archive(harm=lambda text: text[:9_000]), "model.unreadable", "refused"),
    "tar-with-a-tail": (archive(harm=lambda text: text + b"PK"), "model.unreadable", "follows"),
    "tar-too-many": (
        archive(*(member(f"f{at}") for at in range(1_000))),
        "limit.too-large",
        "pull_limit_files",
    ),
    "tar-too-large": (
        archive(harm=lambda text: member("big", size=3 << 30)[0].tobuf() + text),
        "limit.too-large",
        "pull_limit_file_bytes",
    ),
    # What a registry answers.
    "redirect-to-another-host": (
        to_model(redirect(f"{ELSEWHERE}/x")),
        "environment.failed",
        "leads to",
    ),
    "redirect-to-a-file": (
        to_model(redirect("file:///etc/passwd")),
        "environment.failed",
        "leads to",
    ),
    "redirect-for-ever": (to_model(redirect("?again")), "environment.failed", "to the next"),
    "other-blob": (
        to_model(lambda one: send(one, b"x")),
        "registry.digest-mismatch",
        "is something",
    ),
    "endless-blob": (to_model(endless), "registry.digest-mismatch", "is something else"),
    "short-blob": (
        to_model(lambda one: send(one, MODEL[:-1])),
        "registry.digest-mismatch",
        "is something else",
    ),
    "broken-off-blob": (
        to_model(lambda one: send(one, b"", says=len(MODEL))),
        "registry.digest-mismatch",
        "is something else",
    ),
    "squeezed-blob": (
        to_model(lambda one: send(one, b"\x1f\x8b" + b"x" * 98, Content_Encoding="gzip")),
        "registry.digest-mismatch",
        "is something else",
    ),
    "lost-blob": (
        to_model(lambda one: send(one, b"", status=404)),
        "registry.not-found",
        "has lost",
    ),
    "endless-artefact": (
        registry(lambda _: {"manifests/1": endless}),
        "limit.too-large",
        "more than",
    ),
    "login-at-another-host": (
        registry(
            lambda _: {
                "manifests/1": lambda one: send(
                    one, b"", status=401, WWW_Authenticate=f'Bearer realm="{ELSEWHERE}/token"'
                )
            }
        ),
        "environment.failed",
        "leads to",
    ),
    "no-referrers": (
        registry(lambda packed: {f"referrers/{digest_of(packed)}": lambda one: send(one, b"[")}),
        "environment.failed",
        "cannot be read",
    ),
    # What is said about it.
    "no-evidence": (
        attached(Attachment(type=EVIDENCE_TYPE, content=b"[]")),
        "model.unreadable",
        "attached as evidence",
    ),
    "no-signature": (
        attached(Attachment(type=BUNDLE_TYPE, content=b"{}")),
        "trust.signature-malformed",
        "",
    ),
    "too-many-attached": (many(1_001, b"1"), "model.unreadable", "1,001 artefacts refer to"),
    "too-much-attached": (many(20, b"1" * (4 << 20)), "model.unreadable", "refers to"),
}
