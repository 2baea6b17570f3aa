"""Versions as artefacts in the form of CNCF ModelPack, and what such an artefact tells.

Pure: a manifest in, bytes out, the same bytes wherever the version was published; so neither its
number nor a date is in them. Each file is a layer of its own, as it is (``.raw``), so a registry
keeps a file once however many versions have it, and a layer's digest is the file's.

Manifest, config and media types are those of modelpack/model-spec, docs/spec.md and config.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from shipway.domain.digests import canonical_json, digest_of
from shipway.errors import ModelFileError, Problem
from shipway.registry.entries import path_fault
from shipway.registry.manifests import manifest_bytes
from shipway.registry.oci import IMAGE_TYPE, Descriptor, is_digest
from shipway.registry.records import FileEntry, Manifest

ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
MANIFEST_FILE = "shipway-manifest.json"
"""The layer that holds the manifest of a version, by which it is known as one of Shipway's."""

FILEPATH = "org.cncf.model.filepath"
TITLE = "org.opencontainers.image.title"
_REVISION = "org.opencontainers.image.revision"
_LAYER = "application/vnd.cncf.model.{kind}.v1.raw"
_ARTIFACT_KINDS = (IMAGE_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
_MOST_LAYERS = 10_000


class Artifact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The OCI manifest of an artefact, as far as it is read or written here."""

    schema_version: int = 2
    media_type: str = IMAGE_TYPE
    artifact_type: str = ARTIFACT_TYPE
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}


class _Kind(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Of an index or a manifest, what it is; one without a type is a manifest (image-spec)."""

    media_type: str = IMAGE_TYPE


class _Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Where content lies that is not in the registry ("foreign layers")."""

    urls: tuple[str, ...] = ()


class _Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    config: _Placed
    layers: tuple[_Placed, ...]


class _Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str = ""
    title: str = ""
    revision: str = ""


class _Technical(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    architecture: str = ""
    format: str = ""


class _Layers(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    type: str = "layers"
    diff_ids: tuple[str, ...]


class Config(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the config of a ModelPack says, as far as Shipway writes or believes it."""

    descriptor: _Descriptor
    config: _Technical = _Technical()
    modelfs: _Layers


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """An artefact ready to be sent: the bytes of its manifest, config, and Shipway's manifest."""

    content: bytes
    config: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        """The digest by which a registry knows the artefact."""
        return digest_of(self.content)


def artifact_of(manifest: Manifest) -> Written:
    """The artefact of the version that *manifest* describes."""
    own = manifest_bytes(manifest)
    layers = (
        _layer("weight.config", MANIFEST_FILE, digest_of(own), len(own)),
        *(_file_layer(manifest, entry) for entry in manifest.files),
    )
    code = manifest.lineage.code
    revision = code.commit if code is not None else ""
    config = canonical_json(
        Config(
            descriptor=_Descriptor(name=manifest.model, revision=revision),
            config=_Technical(
                architecture=manifest.lineage.source_model_type, format=manifest.spec.format
            ),
            modelfs=_Layers(diff_ids=tuple(layer.digest for layer in layers)),
        )
    )
    artifact = Artifact(
        config=Descriptor(media_type=CONFIG_TYPE, digest=digest_of(config), size=len(config)),
        layers=layers,
        annotations={TITLE: manifest.model} | ({_REVISION: revision} if revision else {}),
    )
    return Written(content=canonical_json(artifact), config=config, manifest=own)


def read_artifact(content: bytes, where: str) -> Artifact:
    """The artefact whose manifest reads *content*; *where* it is from is for the message.

    Raises :class:`~shipway.errors.ModelFileError` for what is no artefact with layers.
    """
    try:
        kind = msgspec.json.decode(content, type=_Kind).media_type
        if kind not in _ARTIFACT_KINDS:
            raise msgspec.ValidationError(f"it is a {kind[:100]}")
        artifact = msgspec.json.decode(content, type=Artifact)
        elsewhere = msgspec.json.decode(content, type=_Elsewhere)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModelFileError(
            f"{where} is not an OCI artefact: {error}",
            next_step="name an artefact of a model; an index of several images is none",
        ) from error
    described = (artifact.config, *artifact.layers)
    if not 1 <= len(artifact.layers) <= _MOST_LAYERS:
        why = f"it has {len(artifact.layers)} layers"
    elif any(one.size < 0 or not is_digest(one.digest) for one in described):
        why = "a layer has a size or a digest that nothing can have"
    elif any(one.urls for one in (elsewhere.config, *elsewhere.layers)):
        why = "a layer of it lies at an address outside of the registry, which is not asked"
    else:
        return artifact
    raise ModelFileError(f"{where} is refused: {why}", next_step="push an artefact that is whole")


def path_of(layer: Descriptor) -> str:
    """What the file or folder in *layer* is called; "" where nothing says it."""
    return layer.annotations.get(FILEPATH) or layer.annotations.get(TITLE, "")


def own_manifest(artifact: Artifact, where: str) -> Descriptor | None:
    """The layer with a manifest of Shipway's; None for an artefact of somebody else.

    Raises :class:`~shipway.errors.ModelFileError` where there are several.
    """
    found = [layer for layer in artifact.layers if path_of(layer) == MANIFEST_FILE]
    if len(found) > 1:
        raise ModelFileError(
            f"{where} is refused: two layers are {MANIFEST_FILE!r}",
            next_step="push the version again; nothing was taken from this artefact",
        )
    return found[0] if found else None


def read_manifest(content: bytes, where: str) -> Manifest:
    """The manifest that reads *content*, byte by byte as it was published.

    Raises :class:`~shipway.errors.ModelFileError`, for one of a newer release too: read back it
    would be another one.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        same = manifest_bytes(manifest) == content
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModelFileError(
            f"{where}: {MANIFEST_FILE} is not the manifest of a version: {error}",
            next_step="push the version again",
        ) from error
    if not same:
        raise ModelFileError(
            f"{where}: {MANIFEST_FILE} is not as this release would write it",
            next_step="bring Shipway up to date; if it is, the artefact was altered",
        )
    return manifest


def layer_problems(artifact: Artifact, manifest: Manifest) -> Iterator[Problem]:
    """Where the layers of *artifact* are not the files of *manifest*."""
    listed = {entry.path: (entry.digest, entry.size_bytes) for entry in manifest.files}
    found: dict[str, tuple[str, int]] = {}
    for layer in artifact.layers:
        path = path_of(layer)
        if path == MANIFEST_FILE:
            continue
        if path in found:
            yield Problem("registry.path-repeated", f"two layers are {path!r}")
        if not layer.media_type.endswith(".raw"):
            kind = layer.media_type[:100]
            text = f"{path!r} comes as {kind!r}, and Shipway sends files as they are (.raw)"
            yield Problem("registry.file-differs", text)
        found[path] = (layer.digest, layer.size)
        if path not in listed:
            yield Problem("registry.file-unlisted", f"{path!r} is not in the version's manifest")
        elif found[path] != listed[path]:
            yield Problem("registry.file-differs", f"{path!r} is not what the manifest says")
    for path in listed.keys() - found.keys():
        fault = path_fault(path)
        yield Problem("registry.file-missing", f"no layer is {path!r}", hint=fault)


def _file_layer(manifest: Manifest, entry: FileEntry) -> Descriptor:
    return _layer(_kind(manifest, entry.path), entry.path, entry.digest, entry.size_bytes)


def _kind(manifest: Manifest, path: str) -> str:
    """Which of ModelPack's kinds of layer the file *path* is."""
    if path == manifest.spec.main_file:
        return "weight"
    if path.endswith(".md"):
        return "doc"
    return "code" if path.endswith((".patch", ".txt", ".zip", ".py")) else "weight.config"


def _layer(kind: str, path: str, digest: str, size: int) -> Descriptor:
    return Descriptor(
        media_type=_LAYER.format(kind=kind),
        digest=digest,
        size=size,
        annotations={FILEPATH: path, TITLE: path},
    )
