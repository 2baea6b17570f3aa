"""The form of an artefact: CNCF ModelPack's, and the same wherever it is made."""

from __future__ import annotations

import json

import msgspec
from tests import stores

from shipway.domain.digests import digest_of
from shipway.exchange.modelpack import (
    ARTIFACT_TYPE,
    CONFIG_TYPE,
    artifact_of,
    own_manifest,
    path_of,
    read_artifact,
    read_manifest,
)
from shipway.registry.manifests import manifest_bytes

FILES = stores.files("a")
MANIFEST = stores.manifest(FILES)
WRITTEN = artifact_of(MANIFEST)
KINDS = ("weight", "weight.config", "doc", "code", "dataset")


def test_the_manifest_is_that_of_a_modelpack() -> None:
    """Its types are those of model-spec, and each layer says which file it is, as it is."""
    artifact = json.loads(WRITTEN.content)
    assert artifact["artifactType"] == ARTIFACT_TYPE
    assert artifact["config"]["mediaType"] == CONFIG_TYPE
    assert artifact["config"]["digest"] == digest_of(WRITTEN.config)
    layers = {one["annotations"]["org.cncf.model.filepath"]: one for one in artifact["layers"]}
    assert layers.keys() == FILES.keys() | {"shipway-manifest.json"}
    for path, content in FILES.items():
        assert layers[path]["digest"] == digest_of(content)
        assert layers[path]["size"] == len(content)
    types = {one["mediaType"] for one in layers.values()}
    assert types <= {f"application/vnd.cncf.model.{kind}.v1.raw" for kind in KINDS}
    assert layers["model.onnx"]["mediaType"] == "application/vnd.cncf.model.weight.v1.raw"
    assert layers["notes/why.md"]["mediaType"] == "application/vnd.cncf.model.doc.v1.raw"


def test_the_config_has_only_what_the_schema_knows() -> None:
    """The schema of model-spec allows no other fields, and asks for these three."""
    config = json.loads(WRITTEN.config)
    assert config.keys() == {"descriptor", "config", "modelfs"}
    assert config["descriptor"].keys() <= {"name", "title", "revision"}
    assert config["config"].keys() <= {"architecture", "format"}
    layers = [one["digest"] for one in json.loads(WRITTEN.content)["layers"]]
    assert config["modelfs"] == {"type": "layers", "diffIds": layers}


def test_it_reads_back_as_it_was_written() -> None:
    """The version's manifest is found among the layers, byte by byte."""
    artifact = read_artifact(WRITTEN.content, "here")
    own = own_manifest(artifact, "here")
    assert own is not None
    assert path_of(own) == "shipway-manifest.json"
    assert read_manifest(WRITTEN.manifest, "here") == MANIFEST
    assert WRITTEN.manifest == manifest_bytes(MANIFEST)


def test_it_is_the_same_wherever_it_is_made() -> None:
    """Only another version is another artefact: neither number nor date is in it."""
    assert artifact_of(stores.manifest(stores.files("a"))) == WRITTEN
    assert artifact_of(stores.manifest(stores.files("b"))).digest != WRITTEN.digest
    noted = msgspec.structs.replace(MANIFEST, notes=("another",))
    assert artifact_of(noted).digest != WRITTEN.digest
