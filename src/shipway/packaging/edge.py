"""A bundle for the edge: the model, its promises and one file that runs it, in one folder.

The bundle can do without Shipway, so its runner says the rules of ``contract.compiled`` and
``inference.decision`` once more; a property test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import msgspec

from shipway.contract.patterns import matcher
from shipway.contract.schema import Column, Contract, Role
from shipway.domain.digests import digest_of
from shipway.domain.events import Scalar
from shipway.durable import storing
from shipway.errors import DigestMismatch, ModelError
from shipway.inference.decision import DecisionRule
from shipway.packaging.folders import replacing, write_file
from shipway.packaging.locking import Find, Pin, installed_closure
from shipway.packaging.rendering import render
from shipway.registry.records import Version

MANIFEST = "manifest.json"
_CONTRACT_FIELDS = (
    "name",
    "kind",
    "role",
    "nullable",
    "missing",
    "minimum",
    "maximum",
    "out_of_range",
    "categories",
    "unseen",
    "pattern",
    "mismatched",
    "fill",
)


@dataclass(frozen=True, slots=True)
class EdgeBundle:
    """A folder with a bundle; ``digest`` is of its manifest, so of every file in it."""

    folder: Path
    digest: str
    size_bytes: int
    files: tuple[str, ...]


def build_bundle(
    out: Path,
    *,
    version: Version,
    contract: Contract,
    model: bytes,
    force: bool = False,
    find: Find = distribution,
) -> EdgeBundle:
    """Make the bundle of *version* in the folder *out*, whole or not at all.

    *model* are the bytes of the version's main file. Equal inputs give equal bytes. Raises
    :class:`~shipway.errors.ModelError` when the version is not ONNX,
    :class:`~shipway.errors.DigestMismatch` when *model* is not what was published, and
    :class:`~shipway.errors.ConflictError` when *out* holds something else.
    """
    spec = version.manifest.spec
    if spec.format != "onnx":
        raise ModelError(
            f"{version.ref} is a {spec.format} model, and the edge runner runs ONNX alone",
            next_step="publish a version that converts to ONNX (`shipway pack` says why this one "
            "did not), or make an image instead: `shipway image`",
        )
    _check_model(version, model)
    pins = sorted({*installed_closure("onnxruntime", (), find=find), *_both(find)})
    text = render(
        "edge-readme.md.j2", ref=version.ref, example=_example(contract.features, limit=3)
    )
    made = {
        "README.md": text.encode(),
        "contract.json": _contract_json(version, contract),
        "model.onnx": model,
        "requirements.txt": "".join(f"{pin}\n" for pin in pins).encode(),
        "runner.py": files("shipway.packaging").joinpath("templates/runner.py").read_bytes(),
    }
    manifest = _pretty(
        {
            "schema": 1,
            "version": version.ref,
            "version_digest": version.digest,
            "files": {name: digest_of(data) for name, data in sorted(made.items())},
        }
    )
    with storing(out), replacing(out, marker=MANIFEST, begins=b"{", force=force) as folder:
        for name, data in {**made, MANIFEST: manifest}.items():
            write_file(folder, name, data)
    return EdgeBundle(
        folder=out,
        digest=digest_of(manifest),
        size_bytes=sum(map(len, made.values())) + len(manifest),
        files=(*sorted(made), MANIFEST),
    )


def _check_model(version: Version, model: bytes) -> None:
    published = {entry.path: entry.digest for entry in version.manifest.files}
    main_file = version.manifest.spec.main_file
    if published.get(main_file) != digest_of(model):
        raise DigestMismatch(
            f"{version.ref}: {main_file} differs from its manifest",
            next_step="restore the blob or publish again; no bundle was made",
        )


def _both(find: Find) -> list[Pin]:
    return [Pin(name, find(name).version) for name in ("numpy", "onnxruntime")]


def _contract_json(version: Version, contract: Contract) -> bytes:
    """What the runner must know: the promises about each column, and how to decide."""
    manifest = version.manifest
    spec = manifest.spec
    rule = DecisionRule.of(
        spec, threshold=manifest.threshold, positive=manifest.objectives.positive
    )
    by_name = {column.name: column for column in contract.request_columns}
    others = [c for c in contract.request_columns if c.role is not Role.FEATURE]
    # The model's own order of inputs, which is what a matrix is filled in.
    columns = [*(by_name[one.name] for one in spec.inputs), *others]
    return _pretty(
        {
            "schema": 1,
            "version": version.ref,
            "version_digest": version.digest,
            "task": spec.task,
            "classes": list(spec.classes),
            "positive": rule.positive,
            "threshold": rule.threshold if rule.positive is not None else None,
            "output": spec.options["output"],
            "layout": spec.options.get("layout", "columns"),
            "missing_string": spec.options.get("missing_string"),
            "columns": [_promise(column) for column in columns],
        }
    )


def _promise(column: Column) -> dict[str, object]:
    whole: dict[str, object] = msgspec.to_builtins(column)
    whole["pattern"] = matcher(column.pattern).pattern if column.pattern else None
    return {name: whole[name] for name in _CONTRACT_FIELDS}


def _example(columns: Sequence[Column], *, limit: int) -> str:
    shown: dict[str, Scalar] = {column.name: column.example for column in columns[:limit]}
    text = json.dumps(shown)[:-1]
    return text + (", ...}" if len(columns) > limit else "}")


def _pretty(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
