"""ModelPacks that other tools made: which file of one is the model.

Such an artefact is no version: it has no contract, no objectives and no lineage. Its model is taken
out of the one layer of weights, to be packed as any model file is.
"""

from __future__ import annotations

import re

import msgspec

from shipway.errors import ModelFileError
from shipway.exchange.archives import unpack
from shipway.exchange.limits import Limits
from shipway.exchange.modelpack import path_of
from shipway.exchange.pulling import Foreign
from shipway.exchange.repository import Source
from shipway.registry.entries import path_fault
from shipway.registry.oci import Descriptor

_WEIGHT = re.compile(
    r"application/vnd\.cncf\.model\.weight\.v1\.(?P<how>raw|tar|tar\+gzip)", re.ASCII
)


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """The file ``path`` of an artefact, and its content; ``artifact`` is the digest of that."""

    path: str
    content: bytes
    artifact: str

    @property
    def origin(self) -> str:
        """Where it comes from, for people."""
        return f"it was a ModelPack of another tool ({self.artifact})"


def weights_of(source: Source, foreign: Foreign, where: str, limits: Limits) -> Weights:
    """The model in the artefact *foreign* that *source* holds; *where* is for messages.

    Raises :class:`~shipway.errors.ModelFileError` unless it is one file, verified.
    """
    layers = [
        (layer, found["how"])
        for layer in foreign.artifact.layers
        if (found := _WEIGHT.fullmatch(layer.media_type))
    ]
    if len(layers) != 1:
        raise _refused(where, f"it has {len(layers)} layers of weights in a form that is read")
    files = _files(source, *layers[0], where, limits)
    if len(files) != 1:
        told = ", ".join(sorted(files)[:5]) or "none"
        raise _refused(where, f"its layer of weights has {len(files)} files: {told[:300]}")
    ((path, content),) = files.items()
    return Weights(path=path, content=content, artifact=foreign.digest)


def _files(
    source: Source, layer: Descriptor, how: str, where: str, limits: Limits
) -> dict[str, bytes]:
    content = source.blob(layer)
    if how != "raw":
        return unpack(content, where, limits, compressed=how == "tar+gzip")
    path = path_of(layer)
    if fault := path_fault(path):
        raise _refused(where, f"its layer of weights is called {path[:200]!r}: {fault}")
    return {path: content}


def _refused(where: str, why: str) -> ModelFileError:
    return ModelFileError(
        f"{where} cannot be taken in: {why}",
        next_step="get the model's file out of it and pack that: `shipway pack`",
    )
