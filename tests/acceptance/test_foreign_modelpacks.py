"""ModelPacks that other tools made: their model becomes a version, and nothing else does."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest
from tests import oci_registries
from tests.acceptance.conftest import refusal_of
from tests.projects import Project

from shipway.domain.digests import digest_of
from shipway.exchange.layout import LayoutFolder
from shipway.exchange.modelpack import ARTIFACT_TYPE, CONFIG_TYPE
from shipway.exchange.references import target
from shipway.exchange.remote import RemoteRepository
from shipway.exchange.repository import Repository
from shipway.exchange.session import Session

Layer = tuple[str, str, bytes]


@pytest.fixture
def model(begun: Project, tmp_path: Path) -> bytes:
    """The trained pipeline in skops' format."""
    import skops.io

    dumped: bytes = skops.io.dumps(joblib.load(begun.folder / "model.joblib"))
    return dumped


def tar(**files: bytes) -> bytes:
    """An archive of *files*, an underscore being a dot."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def put(repository: Repository, *layers: Layer) -> None:
    """An artefact as modctl or KitOps would make it: kind, path and content of each layer."""
    config = b'{"descriptor":{},"config":{},"modelfs":{"type":"layers","diffIds":[]}}'
    described = []
    for kind, path, content in layers:
        repository.put_blob(content)
        described.append(
            {
                "mediaType": f"application/vnd.cncf.model.{kind}",
                "digest": digest_of(content),
                "size": len(content),
                "annotations": {"org.cncf.model.filepath": path},
            }
        )
    repository.put_blob(config)
    artifact = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
        "layers": described,
    }
    repository.put_manifest(json.dumps(artifact).encode(), tag="1")


def in_folder(folder: Path, *layers: Layer) -> str:
    """The same in a layout; its path."""
    layout = LayoutFolder(folder)
    layout.begin()
    put(layout, *layers)
    return str(folder)


@pytest.mark.parametrize("how", ["raw", "tar", "tar+gzip"])
def test_its_model_becomes_a_version(
    project: Project, model: bytes, tmp_path: Path, how: str
) -> None:
    """The one file among the weights is packed, however it is wrapped; the rest stays out."""
    wrap: dict[str, Callable[[bytes], bytes]] = {
        "raw": bytes,
        "tar": lambda content: tar(model_skops=content),
        "tar+gzip": lambda content: gzip.compress(tar(model_skops=content)),
    }
    weights = (f"weight.v1.{how}", "models/model.skops", wrap[how](model))
    place = in_folder(tmp_path / "layout", ("doc.v1.raw", "README.md", b"#"), weights)
    made = project.json("import", place)
    assert made["version"]["number"] == 1
    assert made["notes"][0].startswith("it was a ModelPack of another tool (sha256:")
    refusal_of(project, "pull", place, says=("no manifest of Shipway's", "shipway import"))


@pytest.mark.needs(oci_registries.PROGRAM)
def test_it_comes_from_a_registry(project: Project, model: bytes, tmp_path: Path) -> None:
    """A reference in the place of a folder is asked for in its registry."""
    (tmp_path / "registry").mkdir()
    with oci_registries.running(tmp_path / "registry") as address:
        reference = target(f"{address}/theirs:1")
        with Session(reference) as session:
            put(RemoteRepository(reference, session), ("weight.v1.raw", "m.skops", model))
        assert project.json("import", f"{address}/theirs:1")["version"]["number"] == 1


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([("doc.v1.raw", "README.md", b"#")], "0 layers of weights"),
        ([("weight.v1.raw", "a.onnx", b"a"), ("weight.v1.raw", "b.onnx", b"b")], "2 layers of"),
        ([("weight.v1.tar+zstd", "a.onnx", b"a")], "0 layers of weights"),
        ([("weight.v1.tar", "", tar(a_onnx=b"a", b_onnx=b"b"))], "2 files: a.onnx, b.onnx"),
        ([("weight.v1.tar", "", tar())], "0 files"),
        ([("weight.v1.tar", "", tar(**{"../harm": b"x"}))], "'..' in it"),
        ([("weight.v1.tar+gzip", "", gzip.compress(bytes(64 << 20)))], "200 times"),
        ([("weight.v1.raw", "../harm.onnx", b"x")], "'..' in it"),
        ([("weight.v1.raw", "", b"x")], "it is empty"),
        ([("weight.v1.raw", "model.onnx", b"no model")], "'model.onnx' is not ONNX"),
        ([("weight.v1.raw", "model.pkl", b"\x80\x04N.")], "is a pickle"),
    ],
)
def test_what_has_not_one_model_is_told(
    project: Project, tmp_path: Path, layers: list[Layer], says: str
) -> None:
    """No model, several, one that is not what it says, and what is made to do harm."""
    refusal_of(project, "import", in_folder(tmp_path / "layout", *layers), says=(says,))


def test_a_version_of_shipways_is_pulled(live: Project, tmp_path: Path) -> None:
    """What is a version already keeps its contract and its signatures: it is not packed again."""
    live.json("push", "churn@1", str(tmp_path / "layout"))
    refusal_of(live, "import", str(tmp_path / "layout"), says=("shipway pull",))
